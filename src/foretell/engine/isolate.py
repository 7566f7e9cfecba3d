"""Finding the requests that fail a shared batch, within a budget, so that one bad row harms no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from foretell.errors import InferenceError

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


def budget(items: int) -> int:
    """Most calls spent on the search: enough to find a few bad ones among `items`, far fewer than one for each."""
    return 4 * items.bit_length() + 2


def isolate(
    items: Sequence[ItemT], run: Callable[[Sequence[ItemT]], AnswerT], error: InferenceError, calls: int
) -> list[tuple[Sequence[ItemT], AnswerT | InferenceError]]:
    """Halves a group of `items` that failed together with `error` until the bad ones stand alone.

    Returns groups in the order of `items`, each with its answer or its error. Groups that the budget of `calls` does
    not reach end with `error`.
    """
    results: list[tuple[Sequence[ItemT], AnswerT | InferenceError]] = []
    pending = _halves(items)
    while pending:
        group = pending.pop()
        if calls <= 0 or len(items) == 1:
            results.append((group, error))
            continue
        calls -= 1
        try:
            results.append((group, run(group)))
        except InferenceError as failure:
            if len(group) == 1:  # without its traceback, which leads to the list it is put in
                results.append((group, failure.with_traceback(None)))
            else:
                pending += _halves(group)
    return results


def _halves(group: Sequence[ItemT]) -> list[Sequence[ItemT]]:
    """Both halves, the first one last, as a stack wants them."""
    middle = len(group) // 2
    return [half for half in (group[middle:], group[:middle]) if half]
