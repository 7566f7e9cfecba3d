"""Follows the keys of a shard while its rows are scored: where they ascend, no key stands twice in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from operator import lt
from typing import Any

import numpy as np

from foretell.batch.block import Block
from foretell.batch.keys.cells import MOST_DIGITS, Numbers, Texts, asked_keys, plain
from foretell.batch.keys.ranges import KeyRange
from foretell.batch.scorer import Lost
from foretell.forms.cells import Cells

_LONGEST = 256
"""Characters of a text that is noted."""


class KeyOrder:
    """Of one shard. Whole numbers (also in digits), dates and times are followed to the end; other texts as long as
    they ascend; all else, and keys of several columns, not at all."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._followed = len(names) == 1
        self._least: Any = None
        self._most: Any = None
        self._ascend = True

    def followed(self, found: Iterator[Block | Lost]) -> Iterator[Block | Lost]:
        """The same, each block seen on its way."""
        for each in found:
            if isinstance(each, Block):
                self.see(each)
            yield each

    def see(self, block: Block) -> None:
        """The next rows of the shard."""
        if not self._followed:
            return
        (cells,), rows = asked_keys(block, self._names)
        found = self._of_list(cells, rows) if isinstance(cells, list) else _range_of(plain(cells), rows)
        if found is None or not _noted(found):
            self._followed = False
        elif found.least is not None:
            self._add(found)

    def range(self) -> KeyRange | None:
        """What is known at the end of the shard; None: nothing."""
        return KeyRange(self._least, self._most, self._ascend) if self._followed else None

    def _add(self, found: KeyRange) -> None:
        if self._least is None:
            self._least, self._most, self._ascend = found.least, found.most, found.ascend
            return
        if type(found.least) is not type(self._least):
            self._followed = False
            return
        self._ascend = self._ascend and found.ascend and found.least > self._most
        least: Any = found.least
        self._least, self._most = min(self._least, least), max(self._most, found.most)
        self._followed = self._ascend or not isinstance(self._least, str)

    def _of_list(self, cells: list[Any], rows: Any) -> KeyRange | None:
        items = cells if rows is None else [cells[row] for row in rows.tolist()]
        if not items:
            return KeyRange(None, None, True)
        kinds = set(map(type, items))
        if kinds == {str} and _are_digits(items):
            return _of_numbers(np.fromiter(map(int, items), np.int64, len(items)))
        if kinds not in ({int}, {str}):
            return None
        if all(map(lt, items, islice(items, 1, None))):
            return KeyRange(items[0], items[-1], True)
        return KeyRange(min(items), max(items), False) if kinds == {int} else None


def _range_of(cells: Cells, rows: Any) -> KeyRange | None:
    if cells is None:
        return None
    if rows is not None:
        cells = cells.take(rows)
    if cells.nulls is not None and cells.nulls.any():
        return None
    if isinstance(cells, Numbers):
        return _of_numbers(cells.values)
    if not len(cells.starts):
        return KeyRange(None, None, True)
    if (numbers := cells.numbers()) is not None:
        return _of_numbers(numbers)
    return KeyRange(_text(cells, 0), _text(cells, -1), True) if ascend(cells) else None


def _of_numbers(values: Any) -> KeyRange:
    if not len(values):
        return KeyRange(None, None, True)
    if (values[1:] > values[:-1]).all():
        return KeyRange(int(values[0]), int(values[-1]), True)
    return KeyRange(int(values.min()), int(values.max()), False)


def ascend(texts: Texts) -> bool:
    """Whether each is greater than the one before, byte by byte: in UTF-8 the order of characters, too."""
    words, lengths = texts.words(), texts.lengths
    rows, number = np.arange(1, len(lengths)), 0
    while len(rows):
        before, here = words.get(number, rows - 1), words.get(number, rows)
        if (here < before).any():
            return False
        rows, number = rows[here == before], number + 1
        ended = np.maximum(lengths[rows], lengths[rows - 1]) <= 8 * number
        if (ended & (lengths[rows] <= lengths[rows - 1])).any():
            return False
        rows = rows[~ended]
    return True


def _are_digits(items: list[str]) -> bool:
    whole = "".join(items)
    return whole.isascii() and whole.isdigit() and all(map(range(1, MOST_DIGITS + 1).__contains__, map(len, items)))


def _text(texts: Texts, row: int) -> str:
    start = int(texts.starts[row])
    return bytes(texts.data[start : start + int(texts.lengths[row])]).decode("utf-8", "replace")


def _noted(found: KeyRange) -> bool:
    """Whether it can stand in a record as it is."""
    for each in (found.least, found.most):
        if isinstance(each, int) and not -(2**63) <= each < 2**64:
            return False
        if isinstance(each, str) and (len(each) > _LONGEST or "\ufffd" in each or not each.isprintable()):
            return False
    return True
