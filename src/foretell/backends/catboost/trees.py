"""The numbers of a CatBoost model by which its library finds its way: splits, leaves, and tables of categories.

The fields: `model.fbs`, `features.fbs` and `ctr_data.fbs` under catboost/libs/model/flatbuffers in CatBoost's sources.
"""

from __future__ import annotations

import numpy as np

from foretell.backends.catboost.flat import Table
from foretell.backends.forest_shape import NotTrees, check_length, check_range
from foretell.columns import Array

_STEP = np.dtype([("left", "<u2"), ("right", "<u2")])
_BIN = np.dtype([("feature", "<u2"), ("mask", "u1"), ("split", "u1")])
_SPLIT = np.dtype([("index", "<i4"), ("border", "<f4")])
_ONE_HOT = np.dtype([("index", "<i4"), ("value", "<i4")])
_BUCKET = np.dtype([("hash", "<u8"), ("row", "<u4")])
_MOST_DEEP, _NO_LEAF, _NO_HASH, _BIN_VALUES = 20, 2**32 - 1, 2**64 - 1, 254
_MEANS, _COUNTS = (2, 3), (4, 5)
"""Kinds of tables: of means, of 8 bytes a row; of counts, of 4; and else of one count for each class of the target."""


def check_trees_of(trees: Table, tables: list[Table]) -> None:
    """`tables`: those that follow the trees, with what is known of combinations of categories. Raises `NotTrees`."""
    floats, one_hots, ctrs = (trees.tables(field) for field in (5, 6, 7))
    bins = [len(each.array(3, "<f4")) for each in floats]
    bins += [len(each.array(1, "<i4")) for each in one_hots]
    bins += [len(each.array(1, "<f4")) for each in ctrs]
    splits, sizes, starts = (trees.array(field, "<i4").astype(np.int64) for field in (1, 2, 3))
    check_range(splits, 0, max(sum(bins), 1), "TreeSplits")
    check_length(starts, len(sizes), "TreeStartOffsets")
    if (sizes < 0).any() or sizes.sum() != len(splits) or (starts != np.cumsum(sizes) - sizes).any():
        raise NotTrees("its trees have other numbers of splits than they say")
    packed = trees.array(17, _BIN)
    if len(packed):
        check_length(packed, len(splits), "RepackedBins")
        buckets = sum(-(-max(each, 1) // _BIN_VALUES) for each in bins)
        check_range(packed["feature"].astype(np.int64), 0, max(buckets, 1), "RepackedBins")
    wide, leaves = trees.number(0, "i", 1), len(trees.array(8, "<f8"))
    if not 0 < wide <= 2**20 or len(trees.array(16, "<f8")) not in (0, 1, wide):
        raise NotTrees(f"{wide} values in each leaf cannot be")
    steps = trees.array(10, _STEP)
    if len(steps):
        _check_steps(steps, trees.array(11, "<u4").astype(np.int64), sizes, leaves - wide)
    else:
        check_range(sizes, 0, _MOST_DEEP + 1, "TreeSizes")
        check_length(trees.array(8, "<f8"), int((2**sizes).sum()) * wide, "LeafValues")
    _check_features(trees, floats, one_hots)
    _check_tables(ctrs, tables, floats, one_hots)


def _check_steps(steps: Array, leaves: Array, sizes: Array, last_leaf: int) -> None:
    """Trees that are not symmetric: each node says how far on its children are, or which leaf it is."""
    count = int(sizes.sum())
    check_length(steps, count, "NonSymmetricStepNodes")
    check_length(leaves, count, "NonSymmetricNodeIdToLeafId")
    ends = np.repeat(np.cumsum(sizes), sizes)
    at = np.arange(count)
    for side in ("left", "right"):
        if (at + steps[side] >= ends).any():
            raise NotTrees("a node leads out of its tree")
    stops = (steps["left"] == 0) | (steps["right"] == 0)
    if (sizes == 0).any():
        raise NotTrees("a tree has no node")
    check_range(leaves[stops & (leaves != _NO_LEAF)], 0, last_leaf + 1, "NonSymmetricNodeIdToLeafId")
    if (leaves[stops] == _NO_LEAF).any():
        raise NotTrees("a way through a tree ends at no leaf")


def _check_features(trees: Table, floats: list[Table], one_hots: list[Table]) -> None:
    """Each feature stands once, under the numbers that the order gives it."""
    cats = trees.tables(4)
    for features, field in ((floats, 1), (cats, 0)):
        found = [each.number(field, "i", -1) for each in features]
        if found != list(range(len(found))):
            raise NotTrees("its features are not numbered in their order")
    flat = [each.number(2, "i", -1) for each in floats] + [each.number(1, "i", -1) for each in cats]
    if sorted(flat) != list(range(len(flat))):
        raise NotTrees("two features are one column, or a column is none")
    check_range(np.array([each.number(0, "i", -1) for each in one_hots], np.int64), 0, len(cats), "OneHotFeatures")


Key = tuple[int, tuple[int, ...], tuple[tuple[int, float], ...], tuple[tuple[int, int], ...]]


def _base(base: Table, cats: int, borders: set[tuple[int, float]], values: set[tuple[int, int]]) -> Key:
    """What a table is about: some categories together, of those rows that lie beyond some borders."""
    combined = base.table(0)
    named = combined.array(0, "<i4").astype(np.int64)
    check_range(named, 0, cats, "CatFeatures of a combination")
    beyond = tuple((int(each["index"]), float(each["border"])) for each in combined.array(1, _SPLIT))
    equal = tuple((int(each["index"]), int(each["value"])) for each in combined.array(2, _ONE_HOT))
    if not set(beyond) <= borders or not set(equal) <= values:
        raise NotTrees("a combination of categories names a split that no tree has")
    return base.number(1, "b"), tuple(named.tolist()), beyond, equal


def _check_tables(ctrs: list[Table], tables: list[Table], floats: list[Table], one_hots: list[Table]) -> None:
    borders = {(each.number(1, "i", -1), float(border)) for each in floats for border in each.array(3, "<f4")}
    values = {(each.number(0, "i", -1), int(value)) for each in one_hots for value in each.array(1, "<i4")}
    classes: dict[Key, int] = {}
    for table in tables:
        key = _base(table.table(0), 2**31 - 1, borders, values)
        if key in classes:
            raise NotTrees("two tables are about the same categories")
        classes[key] = _check_table(table, key[0])
    for ctr in (each.table(0) for each in ctrs):
        key = _base(ctr.table(0), 2**31 - 1, borders, values)
        if key not in classes:
            raise NotTrees("a table of categories is missing")
        border = ctr.number(1, "i")
        if not 0 <= border < max(classes[key], 1):
            raise NotTrees("a feature of categories names a class that its table lacks")


def _check_table(table: Table, kind: int) -> int:
    """The number of classes of a table whose hashes all lead to a row of it, or nowhere."""
    classes, buckets = table.number(4, "i"), len(table.array(1, np.uint8)) // _BUCKET.itemsize
    raw = table.array(1, np.uint8)
    if not 0 <= kind <= max(_COUNTS) or not 0 <= classes <= 2**20 or buckets * _BUCKET.itemsize != len(raw):
        raise NotTrees("a table of categories is of no known kind")
    found = np.frombuffer(raw.tobytes(), _BUCKET)
    if buckets < 1 or buckets & (buckets - 1) or not (found["hash"] == _NO_HASH).any():
        raise NotTrees("a table of categories has no end")
    size = 8 if kind in _MEANS else 4 if kind in _COUNTS else 4 * max(classes, 1)
    rows = len(table.array(2, np.uint8)) // size
    check_range(found["row"][found["hash"] != _NO_HASH].astype(np.int64), 0, max(rows, 1), "IndexHashRaw")
    if not rows or rows * size != len(table.array(2, np.uint8)):
        raise NotTrees("a table of categories has no whole rows")
    return classes
