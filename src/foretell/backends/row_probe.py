"""Tries a model on a few small zeros when it is loaded, because declared shapes can lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from foretell.backends.feeds import zeros
from foretell.backends.row_axis import Declared, Rule
from foretell.columns import Array
from foretell.types import BatchRule, DataType

Rows = Array | list[Array]
"""All rows in one array, or rows of different shape in a list."""

Call = Callable[[Mapping[str, Array]], Sequence[Rows]]

_FREE_SIZES = (4, 32, 224)
"""Tried in turn for sizes the file leaves free: some models need an image or a sequence of some length."""
_MOST_ELEMENTS = 2**22
_FLOATS = (DataType.FP16, DataType.FP32, DataType.FP64)


@dataclass(frozen=True, slots=True)
class Tried:
    """What calls showed. `shapes`: per output, the shapes of a row that were seen."""

    batch: BatchRule
    row_wise: bool = True
    shapes: Mapping[str, Sequence[tuple[int, ...]]] = field(default_factory=dict)


class Probe:
    """`call` runs the model on arrays with all their axes and gives what its `outputs` hold; it raises if it cannot.

    `mixes_rows`: the file itself tells that rows depend on each other, whatever a try would show.
    """

    def __init__(
        self, inputs: Sequence[Declared], outputs: Sequence[str], call: Call, *, mixes_rows: bool = False
    ) -> None:
        self._inputs, self._outputs, self._call, self._mixes_rows = inputs, outputs, call, mixes_rows

    def settle(self, rule: Rule, *, check_rows: bool) -> Tried:
        """Whether the model keeps `rule`, and what it is where it does not.

        Where no call succeeds the declarations are believed if they are `proven`. `check_rows`: also try whether one
        row's answer depends on the rows beside it.
        """
        if rule.batch is None:
            return self._whole()
        count = rule.batch if isinstance(rule.batch, int) else 1
        size, first = self._first(count)
        if first is None:
            return Tried(rule.batch if rule.proven else None)
        if any(_length(answer) != count for answer in first):
            return self._whole()
        if rule.batch == "any":
            more = self._answers(2, size)
            if more is None:
                # A graph whose one row was baked in by the exporter: the file says any number, the nodes say one.
                return Tried(1, shapes=self._shapes([first]))
            if any(_length(answer) != 2 for answer in more) or not _same_inside(first, more):
                return self._whole()
            return Tried("any", not check_rows or self._row_wise(2, size, more), self._shapes([first, more]))
        if count > 1 and check_rows and not self._row_wise(count, size, first):
            return self._whole()
        return Tried(count, shapes=self._shapes([first]))

    def _whole(self) -> Tried:
        _, answers = self._first(None)
        if answers is None or any(isinstance(answer, list) for answer in answers):
            return Tried(None)
        shapes = {o: [a.shape] for o, a in zip(self._outputs, answers, strict=True) if not isinstance(a, list)}
        return Tried(None, shapes=shapes)

    def _first(self, rows: int | None) -> tuple[int, list[Rows] | None]:
        free = any(not isinstance(size, int) for d in self._inputs for size in _inner(d, rows))
        for size in _FREE_SIZES if free else (0,):
            answers = self._answers(rows, size)
            if answers is not None:
                return size, answers
        return 0, None

    def _row_wise(self, rows: int, size: int, zeros: Sequence[Rows]) -> bool:
        """Whether the last row stays bit for bit the same when the first one changes, be it of zeros or of fractions,
        and rows that are the same have the same answer.

        `zeros`: the answer to as many rows of zeros.
        """
        if self._mixes_rows or not all(alike(answer[0], answer[-1]) for answer in zeros):
            return False
        if not _last_same(zeros, self._answers(rows, size, first=1)):
            return False
        if not any(declared.datatype in _FLOATS for declared in self._inputs):
            return True
        fractions = self._answers(rows, size, varied=True)
        return fractions is None or all(
            _last_same(fractions, self._answers(rows, size, first=value, varied=True)) for value in (1, -1000, 1000)
        )

    def _answers(self, rows: int | None, size: int, *, first: int = 0, varied: bool = False) -> list[Rows] | None:
        """What the model answers to zeros, or None where it cannot.

        `varied`: fractions from 1/8 to 7/8 instead, where an input is of floats. `first`: what fills the first row.
        """
        feeds = {}
        for declared in self._inputs:
            if declared.dims is None:
                return None
            inner = tuple(each if isinstance(each, int) else size for each in _inner(declared, rows))
            shape = inner if rows is None else (rows, *inner)
            if math.prod(shape) > _MOST_ELEMENTS:
                return None
            feeds[declared.name] = zeros(shape, declared.datatype)
            if varied and declared.datatype in _FLOATS:
                feeds[declared.name] += ((np.arange(math.prod(shape)) % 7 + 1) / 8).reshape(shape)
            if first:
                feeds[declared.name][:1] = zeros((1, *inner), declared.datatype, first)
        try:
            return list(self._call(feeds))
        except Exception:
            # Zeros need not be an input this model takes; what that means is decided by the caller.
            return None

    def _shapes(self, runs: Sequence[Sequence[Rows]]) -> dict[str, list[tuple[int, ...]]]:
        shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in self._outputs}
        for answers in runs:
            for name, answer in zip(self._outputs, answers, strict=True):
                if not isinstance(answer, list):
                    shapes[name].append(answer.shape[1:])
        return shapes


def alike(one: Array, other: Array) -> bool:
    """Whether these differ by rounding only: the same row twice in a call, whose place alone may tell them apart."""
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape or one.dtype.kind not in "fiub":
        return one.shape == other.shape and bool((one == other).all())
    wide, beside = one.astype(np.float64), other.astype(np.float64)
    size = float(np.abs(wide, where=np.isfinite(wide), out=np.zeros_like(wide)).max(initial=0.0))
    return np.allclose(wide, beside, rtol=1e-3, atol=1e-3 * size, equal_nan=True)


def _inner(declared: Declared, rows: int | None) -> tuple[int | str | None, ...]:
    dims = declared.dims or ()
    return dims if rows is None else dims[1:]


def _length(answer: Rows) -> int | None:
    return len(answer) if isinstance(answer, list) or answer.ndim else None


def _same_inside(one: Sequence[Rows], other: Sequence[Rows]) -> bool:
    """Whether a row keeps its shape beside another: that of a table of all pairs, for one, grows with the rows."""
    pairs = zip(one, other, strict=True)
    return all(isinstance(a, list) or isinstance(b, list) or a.shape[1:] == b.shape[1:] for a, b in pairs)


def _last_same(before: Sequence[Rows], after: Sequence[Rows] | None) -> bool:
    """Whether the last row is the same in both; where there is nothing to compare, it is."""
    if after is None:
        return True
    return all(_same(b[-1], a[-1]) for b, a in zip(before, after, strict=True) if len(b) and len(a))


def _same(one: Array, other: Array) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
