"""Whether the arrays of a forest are trees: native code follows them from node to node without looking."""

from __future__ import annotations

import numpy as np

from foretell.columns import Array


class NotTrees(ValueError):
    """The message says what is wrong, without the file's name."""


def check_trees(sizes: Array, left: Array, right: Array) -> None:
    """`sizes`: nodes of each tree. `left`, `right`: all trees one after another, the children of each node as numbers
    within its tree, negative where there is none. Raises `NotTrees` unless every way from a root, node 0, ends.

    Each node but the root has at most one parent and the root has none: so no way meets a node twice.
    """
    total = int(sizes.sum())
    if len(left) != total or len(right) != total or (sizes < 0).any():
        raise NotTrees("its trees have other numbers of nodes than they say")
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    most = np.repeat(sizes, sizes)
    parents = np.zeros(total, np.int64)
    for side in (left, right):
        inner = side >= 0
        if (side[inner] >= most[inner]).any():
            raise NotTrees("a tree names a node that it lacks")
        children = side[inner] + starts[inner]
        parents += np.bincount(children, minlength=total) if total else 0
    roots = (np.cumsum(sizes) - sizes)[sizes > 0]
    if (parents > 1).any() or parents[roots].any():
        raise NotTrees("a tree leads back to a node that was passed")


def whole_numbers(value: object, name: str) -> Array:
    """int64. Raises `NotTrees` for anything but a flat list or array of whole numbers."""
    array = np.asarray(value) if isinstance(value, (list, np.ndarray)) else np.zeros((), object)
    if array.ndim == 1 and not len(array):
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iub" or (array.dtype.kind == "u" and array.max() > 2**62):
        raise NotTrees(f"{name!r} is no list of whole numbers")
    return array.astype(np.int64)


def whole_number(text: object, name: str) -> int:
    """Of a text of at most twelve digits, and nothing that Python alone takes for one. Raises `NotTrees`."""
    told = str(text)
    if not told.isascii() or not told.isdecimal() or len(told) > 12:
        raise NotTrees(f"{name!r} is no number: {told[:40]!r}")
    return int(told)


def check_range(values: Array, low: int, high: int, name: str) -> None:
    """Raises `NotTrees` unless `low` <= each < `high`."""
    if len(values) and (values.min() < low or values.max() >= high):
        raise NotTrees(f"{name!r} holds a number outside {low} to {high - 1}")


def check_length(values: object, length: int, name: str) -> None:
    """Raises `NotTrees` unless `values` is a list or array of `length` values."""
    if not isinstance(values, (list, np.ndarray)) or len(values) != length:
        got = len(values) if isinstance(values, (list, np.ndarray)) else "none"
        raise NotTrees(f"{name!r} has not {length} values but {got}")


def check_ascending(values: Array, last: int, name: str) -> None:
    """Raises `NotTrees` unless `values` are bounds of pieces from 0 to `last`."""
    if not len(values) or values[0] != 0 or values[-1] != last or (np.diff(values) < 0).any():
        raise NotTrees(f"{name!r} holds no bounds from 0 to {last}")
