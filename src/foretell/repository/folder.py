"""Finding the models of a folder, `REPO/NAME/VERSION/artefact`. Only looks and reads settings; opens no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from foretell.config import Layer
from foretell.errors import InferenceError, InvalidModel, InvalidSetting
from foretell.model_names import check_name, check_version
from foretell.repository.settings import MODEL_FILE, model_layers

_LAYOUT = "NAME/VERSION/artefact, such as digits/1/model.onnx"
_SHOWN = 5
_PASSED_OVER = frozenset({"lost+found", "__pycache__"})


@dataclass(frozen=True, slots=True)
class Found:
    """One version of one model in a folder, not opened yet."""

    name: str
    version: str
    path: Path
    """The artefact."""
    folder: Path
    """Of the version; it may be the artefact itself."""
    layers: tuple[Layer, ...]
    """What its `model.toml` files say, nearest first, checked."""
    notes: tuple[str, ...]
    """What lies beside it and is not used, for people; one line each."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a version of a model, or without one the whole model, or without a name the whole place cannot be served."""

    name: str
    version: str
    error: InferenceError


Is = Callable[[Path], bool]
"""Whether a file or folder is an artefact."""


def scan(root: Path, is_artefact: Is) -> list[Found]:
    """Every model under `root`, in order of name, then of version.

    A version's folder is an artefact or holds one; among several, the only one whose stem is "model" is it. Hidden
    entries, lost+found and __pycache__ are passed over. Raises `InvalidModel` where there is no model, a version is no
    positive whole number, artefacts compete or lie outside a version's folder, a link leaves `root`, or something
    cannot be read; `InvalidSetting` and `UnsafeModel` as `model_layers`.
    """
    return sorted(map(_sure, each_model(root, is_artefact)), key=lambda one: (one.name, int(one.version)))


def scan_model(path: Path, is_artefact: Is) -> list[Found]:
    """Every version of the model REPO/NAME that `path` is, lowest first. Raises as `scan`."""
    return sorted(map(_sure, each_version(path, is_artefact)), key=lambda one: int(one.version))


def each_model(root: Path, is_artefact: Is, only: str | None = None) -> Iterator[Found | Problem]:
    """As `scan`, where what is wrong with one model is no other's problem. `only`: the one model of that name."""
    folder = _Folder(root, is_artefact)
    try:
        places = folder.entries(root)
        if not any(place.is_dir() or place.is_symlink() or folder.is_artefact(place) for place in places):
            raise InvalidModel("there is no model in this folder", where=str(root), expected=_LAYOUT)
    except InferenceError as error:
        yield Problem("", "", error)
        return
    for place in places:
        if only is None or place.name == only:
            yield from _versions(folder, place)


def each_version(path: Path, is_artefact: Is) -> Iterator[Found | Problem]:
    """As `scan_model`, where what is wrong with one version is no other's problem."""
    path = path if path.name not in ("", "..") else path.resolve()
    yield from _versions(_Folder(path.parent, is_artefact), path)


def _sure(one: Found | Problem) -> Found:
    if isinstance(one, Problem):
        raise one.error
    return one


def holds_versions(path: Path, is_artefact: Is) -> bool:
    """Whether `path` is REPO/NAME: a numbered folder in it holds an artefact, and it does not itself. Never raises."""
    try:
        entries = list(path.iterdir())
        numbered = [entry for entry in entries if _is_version(entry.name) and entry.is_dir()]
        if is_artefact(path) or any(is_artefact(entry) for entry in entries if entry not in numbered):
            return False
        return any(is_artefact(folder) or any(map(is_artefact, folder.iterdir())) for folder in numbered)
    except (OSError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class _Folder:
    """The bounds of a scan: nothing outside `root` is looked at."""

    root: Path
    is_artefact_at: Is

    def entries(self, path: Path) -> list[Path]:
        """What stands in `path`, hidden entries left out. In order of name."""
        try:
            entries = sorted(entry for entry in path.iterdir() if not _passed_over(entry.name))
        except NotADirectoryError:
            raise InvalidModel("this is not a folder", where=str(path), expected=_LAYOUT) from None
        except FileNotFoundError:
            raise InvalidModel("there is no such folder", where=str(path), expected=_LAYOUT) from None
        except OSError as error:
            raise InvalidModel(f"the folder cannot be read: {error.strerror}", where=str(path)) from error
        return entries

    def is_artefact(self, path: Path) -> bool:
        try:
            return self.is_artefact_at(path)
        except OSError as error:
            raise InvalidModel(f"it cannot be read: {error.strerror}", where=str(path)) from error

    def check_link(self, link: Path) -> None:
        """Raises `InvalidModel` for a link that leaves the repository, or leads nowhere."""
        if not link.is_symlink():
            return
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise InvalidModel("the link leads nowhere", where=str(link), fix="remove or mend it") from error
        if not target.is_relative_to(self.root.resolve()):
            raise InvalidModel("the link leaves the repository", where=str(link), fix="copy what it points to here")


def _versions(folder: _Folder, path: Path) -> Iterator[Found | Problem]:
    try:
        versions = _folders_of_versions(folder, path)
    except InferenceError as error:
        yield Problem(path.name, "", error)
        return
    for version in versions:
        try:
            _check(check_version, version, "name the folder by its number, or hide it with a leading dot")
            yield _one(folder, path, version)
        except InferenceError as error:
            yield Problem(path.name, version.name, error)


def _folders_of_versions(folder: _Folder, path: Path) -> list[Path]:
    folder.check_link(path)
    if not path.is_dir():
        _refuse_misplaced(folder, path)
        return []
    _check(check_name, path, "rename the folder, or hide it with a leading dot")
    versions = []
    for entry in folder.entries(path):
        folder.check_link(entry)
        if entry.is_dir():
            versions.append(entry)
        else:
            _refuse_misplaced(folder, entry)
    if not versions:
        raise InvalidModel("there is no version in this folder", where=str(path), expected=_LAYOUT)
    return versions


def _one(folder: _Folder, model: Path, version: Path) -> Found:
    entries = folder.entries(version)
    for entry in entries:
        folder.check_link(entry)
    artefacts = [version] if folder.is_artefact(version) else [entry for entry in entries if folder.is_artefact(entry)]
    if not artefacts:
        got = ", ".join(entry.name for entry in entries[:_SHOWN]) or "an empty folder"
        raise InvalidModel("there is no model in this folder", where=str(version), expected=_LAYOUT, got=got)
    named = [artefact for artefact in artefacts if artefact.stem == "model"]
    if len(artefacts) > 1 and len(named) != 1:
        names = " and ".join(artefact.name for artefact in artefacts)
        raise InvalidModel(
            f"{names} compete", where=str(version), expected="one artefact", fix="name the one to serve model.*"
        )
    chosen = (named or artefacts)[0]
    notes = [f"{version / other.name}: not served, since {chosen.name} is" for other in artefacts if other != chosen]
    if (model / "config.pbtxt").exists():
        notes.append(f"{model / 'config.pbtxt'}: not read; settings go into {MODEL_FILE}")
    return Found(model.name, version.name, chosen, version, model_layers([version, model]), tuple(notes))


def _is_version(name: str) -> bool:
    try:
        return bool(check_version(name))
    except InvalidSetting:
        return False


def _check(rule: Callable[[str], str], folder: Path, fix: str) -> None:
    try:
        rule(folder.name)
    except InvalidSetting as error:
        raise InvalidModel(error.what, where=str(folder), expected=error.expected, fix=fix) from None


def _refuse_misplaced(folder: _Folder, path: Path) -> None:
    if folder.is_artefact(path):
        raise InvalidModel("this model lies outside a version's folder", where=str(path), expected=_LAYOUT)


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in _PASSED_OVER
