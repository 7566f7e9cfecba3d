"""What a LightGBM model says of itself, read and checked before the native library sees it.

LightGBM reads trees on threads where no error can be raised, and follows their numbers without looking whether they
are inside: a damaged or planted file ends the process. There is no document of the format; it is what
`Booster.save_model` writes as "v4", and the same with less in it as "v3" and "v2".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from foretell.backends.artefact_file import look
from foretell.backends.forest_shape import NotTrees, whole_number
from foretell.backends.lightgbm.trees import check_trees_of
from foretell.errors import InvalidModel

_START, _END, _PANDAS = b"tree\n", b"end of trees", b"\npandas_categorical:"
_VERSIONS = ("v2", "v3", "v4")
_MOST_FEATURES = 2**24
_MOST_CLASSES = 100_000
_INTEGERS = re.compile(r"-?\d{1,9}(?: -?\d{1,9})*+ ?", re.ASCII)
_CODES = re.compile(r"-?\d{1,9}(?::-?\d{1,9})*+", re.ASCII)


@dataclass(frozen=True, slots=True)
class LightgbmFile:
    """`text`: what predictions need of it, all of which was checked. What training took is left out: the library
    trips over it, too. `objective`: its first word, "" for one of the user's own. `categories`: of each feature that
    pandas knew as a category, by its name; None where the file does not say which these are."""

    text: str = field(repr=False)
    objective: str
    classes: int
    names: tuple[str, ...]
    categories: Mapping[str, tuple[Any, ...]] | None
    version: str


def read_lightgbm(data: bytes, where: str) -> LightgbmFile:
    """Raises `InvalidModel` for what is no LightGBM model, or one that would lead the library astray."""
    expected = "a model that Booster.save_model wrote"
    if not data.startswith(_START):
        raise InvalidModel("not a LightGBM model", where=where, expected=expected, got=look(data[:64]))
    try:
        return _told(data)
    except NotTrees as error:
        raise InvalidModel(f"not a whole LightGBM model: {error}", where=where, expected=expected) from error
    except (KeyError, ValueError, IndexError, OverflowError, TypeError, RecursionError) as error:
        what = f"not a whole LightGBM model: {type(error).__name__} where it is read: {str(error)[:80]}"
        raise InvalidModel(what, where=where, expected=expected) from error


def _told(data: bytes) -> LightgbmFile:
    start, stop = data.find(b"\nTree="), data.find(b"\n" + _END)
    if b"\0" in data or stop < 0:
        raise NotTrees("it holds zeros" if b"\0" in data else "it has no end of trees")
    start = stop if start < 0 or start > stop else start
    header = _fields(data[len(_START) : start].decode())
    if header["version"] not in _VERSIONS:
        raise NotTrees(f"its version {header['version'][:20]!r} is none of {', '.join(_VERSIONS)}")
    features, classes = _number(header, "max_feature_idx") + 1, _number(header, "num_class")
    if not 0 < features <= _MOST_FEATURES or not 0 < classes <= _MOST_CLASSES:
        raise NotTrees(f"{features} features and {classes} classes cannot be")
    if _number(header, "num_tree_per_iteration") != classes:
        raise NotTrees("it has another number of trees in each iteration than of classes")
    objective = header.get("objective", "").split()
    for part in objective[1:]:
        if part.startswith("num_class:") and part != f"num_class:{classes}":
            raise NotTrees("its objective has another number of classes than its trees")
    if (not objective or not objective[0].startswith("multiclass")) and classes > 1 and objective:
        raise NotTrees(f"{objective[0][:40]!r} has one class and not {classes}")
    for name in ("monotone_constraints", "tree_sizes", "label_index"):
        if header.get(name) and not _INTEGERS.fullmatch(header[name]):
            raise NotTrees(f"{name!r} holds what is no number")
    names = tuple(header["feature_names"].split(" "))
    if len(names) != features or len(header["feature_infos"].split(" ")) != features:
        raise NotTrees(f"it does not name {features} features")
    sizes = [int(size) for size in header.get("tree_sizes", "").split()]
    if len(sizes) % classes:
        raise NotTrees("its last iteration is not whole")
    check_trees_of(data, start + 1, stop, sizes, features)
    return LightgbmFile(
        text=f"{data[:stop].decode()}\n{_END.decode()}\n\n",
        objective=objective[0] if objective else "",
        classes=classes,
        names=names,
        categories=_categories(data, names, header["feature_infos"].split(" ")),
        version=header["version"],
    )


def _number(header: Mapping[str, str], name: str) -> int:
    return whole_number(header[name], name)


def _fields(text: str) -> dict[str, str]:
    """The lines NAME=VALUE, and flags without a value. Raises `NotTrees` for one that stands twice."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition("=")
        if name and name in found:
            raise NotTrees(f"{name[:40]!r} stands twice")
        found[name] = value
    return found


def _categories(data: bytes, names: tuple[str, ...], infos: Sequence[str]) -> Mapping[str, tuple[Any, ...]] | None:
    """pandas' categories, where they are those of the features that LightGBM takes for categories: who names these
    features may name others. `infos`: the codes that training has seen of each."""
    at = data.rfind(_PANDAS)
    values = json.loads(data[at + len(_PANDAS) :]) if at >= 0 else None
    told = re.search(rb"\n\[categorical_feature: ([0-9,]+)\]\n", data)
    if not values or told is None:
        return None
    columns = [int(number) for number in told[1].decode().split(",")]
    if len(columns) != len(values) or max(columns) >= len(names):
        return None
    if not all(isinstance(each, list) and _plain(each) for each in values):
        return None
    if any(_largest_code(infos[column]) >= len(each) for column, each in zip(columns, values, strict=True)):
        return None
    return {names[column]: tuple(each) for column, each in zip(columns, values, strict=True)}


def _largest_code(info: str) -> int:
    """Of `5:-1:0`; of what is no list of codes, -1."""
    return max(map(int, info.split(":"))) if _CODES.fullmatch(info) else -1


def _plain(values: list[Any]) -> bool:
    """Whether they are all texts or all numbers."""
    return all(isinstance(v, str) for v in values) or all(isinstance(v, (int, float)) for v in values)
