"""What a CatBoost model says of itself, read and checked before the native library sees it.

CatBoost checks that a file is whole, but not whether its numbers lead anywhere: a planted one ends the process.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

from foretell.backends.artefact_file import look
from foretell.backends.catboost.flat import FlatError, Table
from foretell.backends.catboost.trees import check_trees_of
from foretell.backends.forest_shape import NotTrees
from foretell.errors import InvalidModel

_MAGIC, _FORMAT, _TABLES = b"CBM1", "FlabuffersModel_v1", "static_provider_v1"
_MOST_FEATURES = 2**20


@dataclass(frozen=True, slots=True)
class CatboostFile:
    """`names`: of all features in order, "" for one without. `categories`: which of them are categories. `classes`:
    what the labels are, None where there are none; `threshold`: the probability above which the second of two is the
    label; `width`: values that the trees give for one row."""

    data: bytes = field(repr=False)
    loss: str
    width: int
    names: tuple[str, ...]
    categories: frozenset[int]
    classes: tuple[Any, ...] | None
    threshold: float = 0.5


def read_catboost(data: bytes, where: str) -> CatboostFile:
    """Raises `InvalidModel` for what is no CatBoost model, or one that would lead the library astray."""
    expected = "a model that CatBoost.save_model wrote as .cbm"
    if not data.startswith(_MAGIC):
        raise InvalidModel("not a CatBoost model", where=where, expected=expected, got=look(data[:64]))
    try:
        return _told(data, where)
    except (FlatError, NotTrees) as error:
        raise InvalidModel(f"not a whole CatBoost model: {error}", where=where, expected=expected) from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, struct.error) as error:
        what = f"not a whole CatBoost model: {type(error).__name__} where it is read: {str(error)[:80]}"
        raise InvalidModel(what, where=where, expected=expected) from error


def _told(data: bytes, where: str) -> CatboostFile:
    (size,) = struct.unpack_from("<I", data, len(_MAGIC))
    if size > len(data) - 8:
        raise NotTrees(f"it claims {size} bytes where {len(data) - 8} are left")
    core = Table(data[8 : 8 + size])
    if core.text(0) != _FORMAT:
        raise NotTrees(f"its format {core.text(0)[:40]!r} is another than {_FORMAT}")
    told = {each.text(0): each.text(1) for each in core.tables(2)}
    trees = core.table(1)
    if trees.tables(12) or trees.tables(13) or trees.tables(18):
        fix = "train it without them, or serve it from a Python class"
        raise InvalidModel("features of text and embeddings are not served", where=where, fix=fix)
    floats, cats = trees.tables(5), trees.tables(4)
    if not 0 < len(floats) + len(cats) <= _MOST_FEATURES:
        raise NotTrees(f"{len(floats) + len(cats)} features cannot be")
    check_trees_of(trees, _tables(core, data[8 + size :]))
    named = {each.number(2, "i"): each.text(4) for each in floats}
    named |= {each.number(1, "i"): each.text(2) for each in cats}
    classes = json.loads(told.get("class_params", "{}")).get("class_names")
    loss = json.loads(told.get("params", "{}")).get("loss_function") or {}
    return CatboostFile(
        data=data,
        loss=str(loss.get("type", "")),
        width=trees.number(0, "i", 1),
        names=tuple(named[at] for at in range(len(named))),
        categories=frozenset(each.number(1, "i") for each in cats),
        classes=tuple(classes) if isinstance(classes, list) and classes else None,
        threshold=float(told.get("binclass_probability_threshold", 0.5)),
    )


def _tables(core: Table, rest: bytes) -> list[Table]:
    """Those of combinations of categories, which follow the trees."""
    parts = core.texts(3)
    if not parts and not rest:
        return []
    if parts != [_TABLES]:
        raise NotTrees("it has a part that is not known")
    (count,) = struct.unpack_from("<I", rest)
    at, found = 4, []
    for _ in range(count):
        (size,) = struct.unpack_from("<I", rest, at)
        if size > len(rest) - at - 4:
            raise NotTrees("it ends in a table of categories")
        found.append(Table(rest[at + 4 : at + 4 + size]))
        at += 4 + size
    if at != len(rest):
        raise NotTrees(f"{len(rest) - at} bytes follow its end")
    return found
