"""What the words of a command line mean: which models, in which versions, and where they lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foretell.backends.artefact_file import find_artefact, name_of
from foretell.backends.formats import is_artefact
from foretell.backends.python.source import is_reference
from foretell.config import Layer
from foretell.errors import InferenceError, InvalidModel
from foretell.model_names import check_name
from foretell.repository.folder import Found, Problem, each_model, each_version, holds_versions, scan, scan_model
from foretell.repository.settings import MODEL_FILE, model_layers
from foretell.repository.stamp import Stamp, stamp_of

_NAMED = re.compile(r"([^=/\\:]+)=(.+)", re.DOTALL)

Key = tuple[str, str]
"""Name and version."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A version of a model that somebody means. `layers`: what stands beside it."""

    name: str | None
    version: str
    source: str
    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = ()
    """What the person who starts it may want to know."""
    scanned: bool = False
    """It was found in a folder of models, and may as well be gone from there."""
    stamp: Stamp = ()
    """What lay there when it was found by `look`."""


@dataclass(frozen=True, slots=True)
class Source:
    """One word of the command line. What kind it is, is found out once, so that it means the same in a later look."""

    kind: Literal["repository", "versions", "single"]
    name: str | None
    place: str

    @classmethod
    def of(cls, word: str) -> Source:
        """A file, "module:Class", REPO, REPO/NAME, or NAME= before any of these but REPO."""
        named = _NAMED.fullmatch(word)
        name = check_name(named[1]) if named is not None and not Path(word).exists() else None
        place = word if name is None or named is None else named[2]
        if holds_versions(Path(place), is_artefact):
            return cls("versions", name, place)
        if name is None and _is_repository(Path(place)):
            return cls("repository", None, place)
        return cls("single", name, place)


@dataclass(frozen=True, slots=True)
class Look:
    """What there is at one moment."""

    found: dict[Key, Planned]
    problems: tuple[Problem, ...] = ()


def plan(sources: Sequence[str], *, newest: bool = False) -> list[Planned]:
    """What to load. Raises at the first thing that is not as it should be.

    The versions of a model stand in their order, the newest last; with `newest`, of REPO/NAME that one alone.
    """
    planned: list[Planned] = []
    for source in map(Source.of, sources):
        path = Path(source.place)
        if source.kind == "versions":
            versions = scan_model(path, is_artefact)
            planned += [_planned(each, source.name) for each in (versions[-1:] if newest else versions)]
        elif source.kind == "repository":
            planned += [_planned(each) for each in scan(path, is_artefact)]
        else:
            planned.append(Planned(source.name, "1", source.place, _beside(path)))
    return planned


def look(sources: Iterable[Source], name: str | None = None) -> Look:
    """What there is now, of the model `name` or of every one, with what is wrong beside it. Never raises.

    Every `Planned` has a name and a stamp.
    """
    found: dict[Key, Planned] = {}
    problems: list[Problem] = []
    for source in sources:
        for one in _each(source, name):
            if isinstance(one, Problem):
                problems.append(one)
                continue
            key = one.name or "", one.version
            if key in found:
                error = InvalidModel(f"model {key[0]!r} version {key[1]} is there twice", where=one.source)
                problems.append(Problem(*key, error))
            elif name is None or key[0] == name:
                found[key] = one
    return Look(found, tuple(problem for problem in problems if name is None or problem.name in ("", name)))


def _each(source: Source, name: str | None) -> Iterator[Planned | Problem]:
    path = Path(source.place)
    if source.kind == "single":
        yield _single(source, path)
        return
    entries = each_model(path, is_artefact, name) if source.kind == "repository" else each_version(path, is_artefact)
    for one in entries:
        if isinstance(one, Problem):
            yield Problem(source.name or one.name, one.version, one.error)
        else:
            folder = one.folder
            yield _planned(one, source.name, stamp_of([folder, folder.parent / MODEL_FILE]))


def _single(source: Source, path: Path) -> Planned | Problem:
    name = source.name or ""
    try:
        if is_reference(source.place) and not path.exists():
            name = name or source.place.rpartition(":")[2].rpartition(".")[2]
            file = Path(source.place.rpartition(":")[0])
            places = [file] if file.suffix == ".py" else []
        else:
            name = name or path.stem
            file = find_artefact(path)
            name = source.name or name_of(file)
            places = [file]
        beside = [place.parent / MODEL_FILE for place in places]
        stamp = stamp_of([*places, *beside])
        return Planned(check_name(name), "1", source.place, _beside(path), stamp=stamp)
    except InferenceError as error:
        return Problem(name, "1", error)


def _planned(found: Found, name: str | None = None, stamp: Stamp = ()) -> Planned:
    source = str(found.path)
    return Planned(name or found.name, found.version, source, found.layers, found.notes, scanned=True, stamp=stamp)


def _is_repository(path: Path) -> bool:
    """A folder that neither is an artefact nor holds one itself."""
    if not path.is_dir():
        return False
    try:
        return not is_artefact(path) and not any(map(is_artefact, path.iterdir()))
    except OSError as error:
        raise InvalidModel(f"the folder cannot be read: {error.strerror}", where=str(path)) from error


def _beside(path: Path) -> tuple[Layer, ...]:
    folder = path if path.is_dir() else path.parent
    return model_layers([folder])
