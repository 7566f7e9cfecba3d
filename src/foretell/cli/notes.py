"""Lines for people on standard error."""

from __future__ import annotations

import sys

STOPPING = "stopping: answering what was accepted"


def leaving(delay_s: float) -> str:
    return f"not ready from now on; stopping in {delay_s:g} s, or at the next signal"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def visible(text: str) -> str:
    """Without what moves the cursor, changes colours or turns the line around: names of files may hold anything."""
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def one_line(message: Warning | str, *_: object, **__: object) -> None:
    """Shows a warning, as `warnings.showwarning`."""
    say(f"foretell: warning: {visible(str(message))}")


def counted(number: int, one: str) -> str:
    """Such as: 1 row, 1,000 rows."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"
