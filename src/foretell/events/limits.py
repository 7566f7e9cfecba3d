"""When a stream stops since too many events have no answer: a pure decision."""

from __future__ import annotations

from collections.abc import Mapping

from foretell.events.trouble import TooManyDead

_ALL_OF = 100
"""A stream of which so many events have no answer, and none has one, was asked the wrong thing."""


def check_dead(answered: int, dead: int, most: int | None, reasons: Mapping[str, int], example: str) -> None:
    """Raises `TooManyDead`. `answered`: since the stream began; `dead`: in this run. `most` None: any number beside one
    that has an answer.

    Bad events come from outside: they alone are no reason to leave the good ones behind them waiting. But where none
    has an answer, model and events do not go together, and all that come would be put aside.
    """
    if dead <= most if most is not None else (answered or dead < _ALL_OF):
        return
    counted = ", ".join(f"{count:,} {code}" for code, count in sorted(reasons.items(), key=lambda each: -each[1]))
    have = "1 event has no answer" if dead == 1 else f"{dead:,} events have no answer"
    of = "" if answered else ", and none has one"
    fix = "--max-dead-letters lets more through, and the stream goes on where it stopped"
    expected = "" if most is None else f"at most {most:,}"
    raise TooManyDead(f"{have} ({counted}){of}; such as {example}", expected=expected, fix=fix)
