"""How long an output is without the padding of its row: found out from what the model answers, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from foretell.columns import Batch, Bytes, Dense, Index, Ragged
from foretell.errors import ModelError

_FIXED = ""
"""In the place of an input: the output is as long for every row."""
_NOTHING = frozenset({_FIXED})

Lengths = Mapping[str, Index]
"""By input: how long each row is."""


class Follows:
    """What the outputs of one model are as long as.

    One row of the first call is asked alone; what it answers tells, for each output, whether it is as long as an input,
    or always the same. Where several inputs could be meant, further rows are asked until they agree for every row.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._known: dict[str, frozenset[str]] = {}
        """By output: the inputs that it may be as long as; all of them have agreed in every call so far."""

    def lengths(
        self,
        name: str,
        output: Dense | Bytes,
        inputs: Lengths,
        longest: Mapping[str, int],
        answered: Index,
        ask: Callable[[int], Batch],
    ) -> Index | None:
        """How long each row of an output is; None: as long as it came.

        `inputs`: those that were filled up, to `longest`; `answered`: the rows that have one; `ask`: the answer to
        one row without padding. Raises `ModelError` where the length follows no input.
        """
        known = self._known.get(name)
        if known == _NOTHING or not len(answered):
            return None
        width = output.row_shape[0]
        may = {each: own for each, own in inputs.items() if longest[each] == width}
        may[_FIXED] = np.full(len(output), width, np.int64)
        if known is not None:
            may = {each: own for each, own in may.items() if each in known} or may
        in_doubt = _differing(may, answered) if known is not None else _shorter(inputs, longest, answered)
        for row in in_doubt:
            if known is not None and _agree(may, answered):
                break
            alone = ask(row)
            if not alone.errors:
                own_width = _width(alone, name)
                may = {each: own for each, own in may.items() if own[row] == own_width}
                known = frozenset(may)
        if known is None or not may or not _agree(may, answered):
            raise ModelError(
                f"output {name!r} changes with the padding of the rows, but is as long as no input",
                where=self._where,
                fix="leave pad out: rows then share a call only with those of their own length",
            )
        self._known[name] = frozenset(may)
        first = next(iter(may))
        return None if first == _FIXED else may[first]


def _agree(may: Lengths, rows: Index) -> bool:
    first, *others = [own[rows] for own in may.values()] or [np.zeros(0, np.int64)]
    return all(np.array_equal(first, other) for other in others)


def _differing(may: Lengths, rows: Index) -> list[int]:
    """The rows for which it matters what of `may` is true, the shortest first."""
    first, *others = [own[rows] for own in may.values()]
    if not others:
        return []
    differ = np.any([first != other for other in others], axis=0)
    chosen: list[int] = rows[differ][np.argsort(first[differ], kind="stable")].tolist()
    return chosen


def _shorter(inputs: Lengths, longest: Mapping[str, int], rows: Index) -> list[int]:
    """The rows that were filled up, the shortest first."""
    short = np.any([own < longest[name] for name, own in inputs.items()], axis=0)[rows]
    total = np.sum(list(inputs.values()), axis=0)[rows]
    chosen: list[int] = rows[short][np.argsort(total[short], kind="stable")].tolist()
    return chosen


def _width(answer: Batch, name: str) -> int:
    """How long the output of the one row is; -1 where it has no such output."""
    column = answer.columns.get(name)
    if isinstance(column, Ragged):
        return int(column.lengths[0])
    return column.row_shape[0] if column is not None and column.row_shape else -1
