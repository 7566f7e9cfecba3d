"""The numbers of an XGBoost model by which its library finds its way: nodes, features, categories, groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from foretell.backends.forest_shape import (
    NotTrees,
    check_ascending,
    check_length,
    check_range,
    check_trees,
    whole_number,
    whole_numbers,
)
from foretell.columns import Array

_MOST_CATEGORIES = 2**24
_NO_PARENT = 2**31 - 1
_PER_NODE = ("default_left", "split_conditions", "loss_changes", "sum_hessian")


def check_linear(model: Mapping[str, Any], features: int, groups: int) -> None:
    """Raises `NotTrees` for another number of weights than features and groups make."""
    check_length(model["weights"], (features + 1) * groups, "weights")


def check_forest(
    model: Mapping[str, Any], dropped: Any, features: int, groups: int, targets: int
) -> tuple[tuple[Any, ...] | None, ...] | None:
    """The categories that the model brings, by feature. Raises `NotTrees`, and what a missing field raises.

    `dropped`: the weights of the trees of a DART model, else None.
    """
    trees = model["trees"]
    if not isinstance(trees, list) or not all(isinstance(tree, dict) for tree in trees):
        raise NotTrees("'trees' is no list of trees")
    if any(tree.get("id", at) != at for at, tree in enumerate(trees)):
        raise NotTrees("its trees are not numbered in their order")
    said = whole_number(model["gbtree_model_param"]["num_trees"], "num_trees")
    if said != len(trees):
        raise NotTrees(f"it says {said} trees and holds {len(trees)}")
    if dropped is not None:
        check_length(dropped, len(trees), "weight_drop")
    info = whole_numbers(model["tree_info"], "tree_info")
    check_length(info, len(trees), "tree_info")
    check_range(info, 0, groups, "tree_info")
    if "iteration_indptr" in model:
        check_ascending(whole_numbers(model["iteration_indptr"], "iteration_indptr"), len(trees), "iteration_indptr")
    if trees:
        _check_nodes(trees, features, targets)
    return _categories(model["cats"], features) if "cats" in model else None


def _check_nodes(trees: list[dict[str, Any]], features: int, targets: int) -> None:
    sizes = np.array([_size(tree, features, targets) for tree in trees], np.int64)
    left, right = (_joined(trees, key) for key in ("left_children", "right_children"))
    parents, inner = _joined(trees, "parents"), left >= 0
    vectors = np.repeat([len(tree["base_weights"]) != size for tree, size in zip(trees, sizes, strict=True)], sizes)
    check_trees(sizes, left, np.where(inner, right, -1))
    if (left < -1).any() or (right[inner] < 0).any():
        raise NotTrees("a node has one child")
    leaves = np.repeat([len(tree.get("leaf_weights", ())) // targets for tree in trees], sizes)
    at = right[vectors & ~inner]  # a leaf of several values says by it which ones they are
    if (at < -1).any() or (at >= leaves[vectors & ~inner]).any():
        raise NotTrees("a leaf names values that its tree lacks")
    check_range(_joined(trees, "split_indices")[inner], 0, features, "split_indices")
    _check_parents(sizes, left, right, parents)
    for tree, size in zip(trees, sizes.tolist(), strict=True):
        _check_splits(tree, size)


def _check_parents(sizes: Array, left: Array, right: Array, parents: Array) -> None:
    """Where a leaf is not at the top, the library goes back from it."""
    starts = np.cumsum(sizes) - sizes
    inner, firsts = np.flatnonzero(left >= 0), np.repeat(starts, sizes)
    for side in (left, right):
        if (parents[side[inner] + firsts[inner]] != inner - firsts[inner]).any():
            raise NotTrees("'parents' name others than those that lead there")
    if not np.isin(parents[starts], (-1, _NO_PARENT)).all():
        raise NotTrees("a root has a parent")
    inside = (parents >= -1) & ((parents < np.repeat(sizes, sizes)) | (parents == _NO_PARENT))
    if not inside.all():
        raise NotTrees("'parents' name nodes that are not there")


def _size(tree: Mapping[str, Any], features: int, targets: int) -> int:
    """The number of nodes, which all its lists must have."""
    params = tree["tree_param"]
    size = whole_number(params["num_nodes"], "num_nodes")
    wide = whole_number(params.get("size_leaf_vector", "1"), "size_leaf_vector")
    if (
        size < 1
        or whole_number(params["num_feature"], "num_feature") not in (0, features)
        or wide not in (0, 1, targets)
    ):
        raise NotTrees("a tree says that it is of another model")
    for key in ("left_children", "right_children", "parents", "split_indices"):
        check_length(tree[key], size, key)
    for key in _PER_NODE:
        if key in tree:
            check_length(tree[key], size, key)
    check_length(tree["split_conditions"], size, "split_conditions")
    if wide <= 1:
        check_length(tree["base_weights"], size, "base_weights")
    else:
        check_length(tree["base_weights"], size * wide, "base_weights")
        if len(tree.get("leaf_weights", ())) % wide:
            raise NotTrees("a tree has not as many values in each leaf")
    return size


def _check_splits(tree: Mapping[str, Any], size: int) -> None:
    """The categories that lead to the right, piece by piece."""
    if "split_type" not in tree:
        return
    check_length(tree["split_type"], size, "split_type")
    keys = ("split_type", "categories", "categories_nodes", "categories_segments", "categories_sizes")
    kinds, values, nodes, starts, counts = (whole_numbers(tree[key], key) for key in keys)
    if not len(nodes) and not kinds.any():
        return
    check_range(kinds, 0, 2, "split_type")
    check_range(values, 0, _MOST_CATEGORIES, "categories")
    check_range(nodes, 0, size, "categories_nodes")
    check_length(starts, len(nodes), "categories_segments")
    check_length(counts, len(nodes), "categories_sizes")
    if len(nodes) > 1 and (np.diff(nodes) <= 0).any():
        raise NotTrees("'categories_nodes' do not ascend")
    if not np.array_equal(np.flatnonzero(kinds), nodes):
        raise NotTrees("'split_type' and 'categories_nodes' name different nodes")
    if len(nodes) and ((starts < 0).any() or (counts < 1).any() or (starts + counts > len(values)).any()):
        raise NotTrees("'categories_segments' name categories that are not there")


def _joined(trees: list[dict[str, Any]], key: str) -> Array:
    return np.concatenate([whole_numbers(tree[key], key) for tree in trees])


def _categories(cats: Mapping[str, Any], features: int) -> tuple[tuple[Any, ...] | None, ...] | None:
    """What each feature's codes stand for, None for a number. Raises `NotTrees` for tables that do not fit."""
    tables = cats["enc"]
    if not isinstance(tables, list) or not tables:
        return None
    check_length(tables, features, "enc")
    found = [_values(table) for table in tables]
    lengths = [len(values or ()) for values in found]
    bounds = whole_numbers(cats["feature_segments"], "feature_segments")
    check_length(bounds, features + 1, "feature_segments")
    check_ascending(bounds, sum(lengths), "feature_segments")
    if np.diff(bounds).tolist() != lengths:
        raise NotTrees("'feature_segments' has other numbers of categories")
    order = whole_numbers(cats["sorted_idx"], "sorted_idx")
    check_length(order, sum(lengths), "sorted_idx")
    check_range(order, 0, max(lengths, default=0), "sorted_idx")
    return tuple(found) if any(lengths) else None


def _values(table: Mapping[str, Any]) -> tuple[Any, ...] | None:
    values = table["values"]
    if "offsets" not in table:
        return tuple(np.asarray(values).tolist()) or None
    offsets = whole_numbers(table["offsets"], "offsets")
    letters = whole_numbers(values, "values")
    if not len(offsets) and not len(letters):
        return None
    check_ascending(offsets, len(letters), "offsets")
    raw = bytes((letters & 0xFF).astype(np.uint8).tolist())
    pieces = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    return tuple(raw[start:stop].decode("utf-8", "replace") for start, stop in pieces) or None
