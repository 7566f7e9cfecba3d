"""Tries a model of arrays on a few zeros when it is loaded: what it gives, and whether a row depends on others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from foretell.backends.feeds import zeros
from foretell.columns import Array
from foretell.types import DataType, ModelSpec, Shape, TensorSpec

Call = Callable[[Mapping[str, Array]], Mapping[str, Array]]

_FREE_SIZES = ((4, 5), (32, 33), (224, 256))
"""Tried in turn for sizes that are free: some models need an image or a sequence of some length."""
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
        return _with_outputs(spec, [each for size, other in _sizes(inputs) if (each := _asked(spec, call, None, size))])
    count = spec.batch if isinstance(spec.batch, int) else 1
    for size, other in _sizes(inputs):
        first = _asked(spec, call, count, size)
        if first is None:
            continue
        if not check_rows:
            return _with_outputs(spec, _inner([first, _asked(spec, call, count, other)]))
        if any(not array.ndim or len(array) != count for array in first.values()):
            return _with_outputs(spec.with_changes(batch=None), [])
        if spec.batch != "any":
            return _with_outputs(spec, _inner([first, _asked(spec, call, count, other)]))
        more = _asked(spec, call, 2, size)
        if more is None:
            return _with_outputs(spec.with_changes(batch=1), _inner([first]))
        if any(not array.ndim or len(array) != 2 for array in more.values()):
            return _with_outputs(spec.with_changes(batch=None), [])
        alone = _row_wise(spec, call, size, more)
        return _with_outputs(spec.with_changes(row_wise=alone), _inner([first, more, _asked(spec, call, 2, other)]))
    return spec


def _sizes(inputs: tuple[TensorSpec, ...]) -> tuple[tuple[int, int], ...]:
    free = any(size is None for tensor in inputs for size in tensor.shape or ())
    return _FREE_SIZES if free else ((0, 0),)


def _asked(spec: ModelSpec, call: Call, rows: int | None, size: int, *, first: int = 0) -> Mapping[str, Array] | None:
    """The answer to zeros, or None where there is none. `first`: what fills the first row instead."""
    feeds = {}
    for tensor in spec.inputs or ():
        inner = tuple(size if each is None else each for each in tensor.shape or ())
        shape = inner if rows is None else (rows, *inner)
        if math.prod(shape) > _MOST_ELEMENTS:
            return None
        feeds[tensor.name] = zeros(shape, tensor.datatype or DataType.FP32)
        if first:
            feeds[tensor.name][:1] = zeros((1, *inner), tensor.datatype or DataType.FP32, first)
    try:
        return call(feeds)
    except Exception:  # zeros need not be an input that this model takes
        return None


def _row_wise(spec: ModelSpec, call: Call, size: int, before: Mapping[str, Array]) -> bool:
    """Whether the last row stays the same, bit for bit, when the first one changes."""
    after = _asked(spec, call, 2, size, first=1)
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
