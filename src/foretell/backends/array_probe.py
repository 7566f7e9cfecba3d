"""Tries a model on a few small zeros when it is loaded, where its artefact tells its inputs and little of its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from foretell.backends.feeds import zeros
from foretell.backends.row_probe import alike
from foretell.columns import Array
from foretell.types import DataType, ModelSpec, Shape, TensorSpec

Call = Callable[[Mapping[str, Array]], Mapping[str, Array]]

_FREE_SIZES = ((4, 5), (32, 33), (224, 256))
"""Tried in turn for sizes that are free: some models need an image or a sequence of some length."""
_COUNTS = (1, 2, 4, 8)
"""Tried in turn for the number of rows: some functions take multiples of a number only."""
_FILLS = (1, -1000, 1000)
"""What the first row is changed to, to see whether another row's answer changes with it."""
_FLOATS = (DataType.FP16, DataType.FP32, DataType.FP64)
_MOST_ELEMENTS = 2**22


def probed(spec: ModelSpec, call: Call, *, check_rows: bool = True) -> ModelSpec:
    """`spec` with what calls of zeros show: outputs, the axis of rows, and whether rows depend on each other.

    Only where all inputs are known, and `spec.batch` is "any" or a number. Where the model does not take zeros, `spec`
    comes back as it is: that says nothing of its own inputs. `check_rows` False: the axis of rows is not doubted.
    """
    inputs = spec.inputs
    if not inputs or any(tensor.datatype is None or tensor.shape is None for tensor in inputs):
        return spec
    if spec.batch is None:
        return _of_whole(spec, call)
    counts = (spec.batch,) if isinstance(spec.batch, int) else _COUNTS if check_rows else _COUNTS[:1]
    for count in counts:
        for size, other in _sizes(inputs):
            first = _asked(spec, call, count, size)
            if first is not None:
                return _settled(spec, call, count, (size, other), first, check_rows=check_rows)
    return spec


def _settled(
    spec: ModelSpec, call: Call, count: int, sizes: tuple[int, int], first: Mapping[str, Array], *, check_rows: bool
) -> ModelSpec:
    """`first`: the answer to `count` rows of zeros, fewer of which the model does not take."""
    size, other = sizes
    if not check_rows:
        return _with_outputs(spec, _inner([first, _asked(spec, call, count, other)]))
    if not _has_rows(first, count) or (count > 1 and not _row_wise(spec, call, count, size, first)):
        return _of_whole(_without_rows(spec), call)
    if count > 1 or spec.batch != "any":
        fixed = spec.with_changes(batch=count)
        return _with_outputs(fixed, _inner([first, _asked(fixed, call, count, other)]))
    more = _asked(spec, call, 2, size)
    if more is None:
        return _with_outputs(spec.with_changes(batch=1), _inner([first]))
    if not _has_rows(more, 2) or any(array.shape[1:] != first[name].shape[1:] for name, array in more.items()):
        return _of_whole(_without_rows(spec), call)
    alone = _row_wise(spec, call, 2, size, more)
    return _with_outputs(spec.with_changes(row_wise=alone), _inner([first, more, _asked(spec, call, 2, other)]))


def _without_rows(spec: ModelSpec) -> ModelSpec:
    """The same model where a whole tensor is one row."""
    head = spec.batch if isinstance(spec.batch, int) else None
    inputs = tuple(replace(tensor, shape=(head, *(tensor.shape or ()))) for tensor in spec.inputs or ())
    outputs = spec.outputs and tuple(replace(tensor, shape=None) for tensor in spec.outputs)
    return spec.with_changes(batch=None, inputs=inputs, outputs=outputs)


def _of_whole(spec: ModelSpec, call: Call) -> ModelSpec:
    sizes = _sizes(spec.inputs or ())
    return _with_outputs(spec, [each for size, _ in sizes if (each := _asked(spec, call, None, size))])


def _has_rows(answer: Mapping[str, Array], count: int) -> bool:
    return all(array.ndim and len(array) == count for array in answer.values())


def _sizes(inputs: tuple[TensorSpec, ...]) -> tuple[tuple[int, int], ...]:
    free = any(size is None for tensor in inputs for size in tensor.shape or ())
    return _FREE_SIZES if free else ((0, 0),)


def _asked(
    spec: ModelSpec, call: Call, rows: int | None, size: int, *, first: int = 0, varied: bool = False
) -> Mapping[str, Array] | None:
    """The answer to zeros, or None where there is none. `first`: what fills the first row instead. `varied`: fractions
    from 1/8 to 7/8 in the place of zeros, where an input is of floats."""
    feeds = {}
    for tensor in spec.inputs or ():
        inner, datatype = tuple(size if each is None else each for each in tensor.shape or ()), tensor.datatype
        shape = inner if rows is None else (rows, *inner)
        if datatype is None or math.prod(shape) > _MOST_ELEMENTS:
            return None
        made = zeros(shape, datatype)
        if varied and datatype in _FLOATS:
            made += ((np.arange(math.prod(shape)) % 7 + 1) / 8).reshape(shape)
        if first:
            made[:1] = zeros((1, *inner), datatype, first)
        feeds[tensor.name] = made
    try:
        return call(feeds)
    except Exception:  # zeros need not be an input that this model takes
        return None


def _row_wise(spec: ModelSpec, call: Call, rows: int, size: int, before: Mapping[str, Array]) -> bool:
    """Whether the last row stays the same, bit for bit, when the first one changes, and rows that are the same have
    the same answer. `before`: the answer to as many rows of zeros."""
    if not all(alike(array[0], array[-1]) for array in before.values()):
        return False
    if not _last_same(before, _asked(spec, call, rows, size, first=1)):
        return False
    if not any(tensor.datatype in _FLOATS for tensor in spec.inputs or ()):
        return True
    fractions = _asked(spec, call, rows, size, varied=True)
    return fractions is None or all(
        _last_same(fractions, _asked(spec, call, rows, size, first=fill, varied=True)) for fill in _FILLS
    )


def _last_same(before: Mapping[str, Array], after: Mapping[str, Array] | None) -> bool:
    """Whether the last row is the same in both; where there is nothing to compare, it is."""
    if after is None:
        return True
    return all(_same(array[-1], after[name][-1]) for name, array in before.items() if len(array) and len(after[name]))


def _same(one: Array, other: Array) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _inner(answers: list[Mapping[str, Array] | None]) -> list[dict[str, Array]]:
    """One row of each answer."""
    return [{name: array[:1][0] for name, array in answer.items()} for answer in answers if answer is not None]


def _with_outputs(spec: ModelSpec, rows: list[Mapping[str, Array]] | list[dict[str, Array]]) -> ModelSpec:
    """`spec` with datatypes and shapes that `rows` have; what is declared is kept where it holds."""
    if not rows:
        return spec
    found = []
    for name, array in rows[0].items():
        shape: Shape | None = np.shape(array)
        for other in rows[1:]:
            shape = _agreed(shape, np.shape(other[name]))
        declared = spec.output(name) or TensorSpec(name)
        found.append(replace(declared, datatype=declared.datatype or DataType.of(np.asarray(array).dtype), shape=shape))
    return spec.with_changes(outputs=tuple(found))


def _agreed(one: Shape | None, other: Shape) -> Shape | None:
    if one is None or len(one) != len(other):
        return None
    return tuple(a if a == b else None for a, b in zip(one, other, strict=True))
