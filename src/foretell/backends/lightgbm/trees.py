"""The trees of a LightGBM file, each of which is lines NAME=VALUES: whether every number leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from foretell.backends.forest_shape import NotTrees, check_ascending, check_length, check_range, check_trees
from foretell.columns import Array

_INTEGERS = re.compile(r"-?\d{1,18}+(?: -?\d{1,18}+)*+", re.ASCII)
_NUMBER = r"-?(?:\d++(?:\.\d*+)?+(?:e[-+]?\d{1,4}+)?+|inf|nan)"
_NUMBERS = re.compile(rf"{_NUMBER}(?: {_NUMBER})*+", re.ASCII)
_INNER_INTEGERS = ("split_feature", "left_child", "right_child", "decision_type", "internal_count")
_INNER_NUMBERS = ("split_gain", "threshold", "internal_value", "internal_weight")
_NEEDED = {"split_feature", "left_child", "right_child", "decision_type", "threshold"}
_CATEGORY, _MOST_WORDS = 1, 2**19


def check_trees_of(data: bytes, start: int, stop: int, sizes: list[int], features: int) -> None:
    """`data[start:stop]`: the trees, one after another, of `sizes` bytes each. Raises `NotTrees`, and `KeyError` and
    `ValueError` for what is missing or no number."""
    counts, lefts, rights = [], [], []
    for number, size in enumerate(sizes):
        begin, start = start, start + size
        if size <= 0 or start > stop + 1 or not data.startswith(b"Tree=%d\n" % number, begin):
            raise NotTrees(f"tree {number} is not where 'tree_sizes' says")
        left, right = _check_tree(_fields(data[begin:start].decode(), number), features)
        counts.append(len(left))
        lefts.append(left)
        rights.append(right)
    if data[start:stop].strip():
        raise NotTrees("something follows its trees")
    if lefts:
        check_trees(np.array(counts), np.concatenate(lefts), np.concatenate(rights))


def _fields(text: str, number: int) -> dict[str, str]:
    lines = text.rstrip("\n").split("\n")[1:]
    found = dict(line.split("=", 1) for line in lines)
    if len(found) != len(lines):
        raise NotTrees(f"tree {number} says one thing twice")
    return found


def _check_tree(tree: Mapping[str, str], features: int) -> tuple[Array, Array]:
    """The children of each inner node, negative where they are leaves."""
    leaves, categories = _integers(tree["num_leaves"]), _integers(tree["num_cat"])
    check_length(leaves, 1, "num_leaves")
    check_length(categories, 1, "num_cat")
    count, inner = int(leaves[0]), int(leaves[0]) - 1
    check_range(leaves, 1, 2**31, "num_leaves")
    check_range(categories, 0, max(inner, 0) + 1, "num_cat")
    for name in ("leaf_value", "leaf_weight", "leaf_const"):
        _check_numbers(tree, name, count, needed=name == "leaf_value")
    for name in _INNER_NUMBERS:
        _check_numbers(tree, name, inner, needed=name in _NEEDED)
    _check_numbers(tree, "shrinkage", 1, needed=False)
    read = {name: _listed(tree, name, inner) for name in _INNER_INTEGERS}
    _listed(tree, "leaf_count", count)
    check_range(read["split_feature"], 0, features, "split_feature")
    check_range(read["decision_type"], 0, 16, "decision_type")
    for name in ("left_child", "right_child"):
        check_range(read[name], -count, max(inner, 1), name)
    of_categories = (read["decision_type"] & _CATEGORY) != 0
    _check_categories(tree, int(categories[0]), of_categories)
    if tree.get("is_linear", "0") != "0":
        _check_linear(tree, count, features)
    return read["left_child"], read["right_child"]


def _check_categories(tree: Mapping[str, str], categories: int, chosen: Array) -> None:
    """A node of categories says with its threshold which set of them leads to the left."""
    if categories:
        bounds = _integers(tree["cat_boundaries"])
        check_length(bounds, categories + 1, "cat_boundaries")
        words = _integers(tree["cat_threshold"])
        check_ascending(bounds, len(words), "cat_boundaries")
        check_range(words, 0, 2**32, "cat_threshold")
        check_range(np.array([len(words)]), 0, _MOST_WORDS, "cat_threshold")
    if chosen.any():
        named = np.array([float(each) for each in tree["threshold"].split(" ")])[chosen]
        if not np.isfinite(named).all():
            raise NotTrees("'threshold' names categories that are not there")
        check_range(named.astype(np.int64), 0, categories, "threshold")


def _check_linear(tree: Mapping[str, str], leaves: int, features: int) -> None:
    """A leaf of a linear tree weighs some features."""
    if tree["is_linear"] != "1":
        raise NotTrees("'is_linear' is neither 0 nor 1")
    _check_numbers(tree, "leaf_const", leaves, needed=True)
    counts = _integers(tree["num_features"])
    check_length(counts, leaves, "num_features")
    check_range(counts, 0, features + 1, "num_features")
    total = int(counts.sum())
    named = _integers(" ".join(tree["leaf_features"].split()))
    check_length(named, total, "leaf_features")
    check_range(named, 0, features, "leaf_features")
    weights = tree["leaf_coeff"].split()
    if len(weights) != total or (weights and not _NUMBERS.fullmatch(" ".join(weights))):
        raise NotTrees("'leaf_coeff' has other numbers than 'leaf_features'")


def _listed(tree: Mapping[str, str], name: str, count: int) -> Array:
    if name not in tree and name not in _NEEDED:
        return np.zeros(0, np.int64)
    found = _integers(tree[name] if count or name in tree else "")
    check_length(found, count, name)
    return found


def _check_numbers(tree: Mapping[str, str], name: str, count: int, *, needed: bool) -> None:
    text = tree.get(name, "")
    if not text and (not needed or not count):
        return
    if text.count(" ") + 1 != count or not _NUMBERS.fullmatch(text):
        raise NotTrees(f"{name!r} has not {count} numbers")


def _integers(text: str) -> Array:
    if not text:
        return np.zeros(0, np.int64)
    if not _INTEGERS.fullmatch(text):
        raise NotTrees(f"{text[:40]!r} are no whole numbers")
    return np.array(text.split(" "), np.int64)
