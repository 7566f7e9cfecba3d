"""One small file per framework: open an artefact, give a Model.

`open_model` is the way in for everything that may stand for a model. Importing this package imports no framework.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from foretell.backends.artefact_file import check_looks, find_artefact, known_format
from foretell.backends.python import source as python_source
from foretell.config import ModelSettings
from foretell.errors import InvalidModel

if TYPE_CHECKING:
    from foretell.backends.opened import Opened

__all__ = ["Opened", "open_model"]


def open_model(source: object, settings: ModelSettings, *, example: object = None) -> Opened:
    """Finds the model that `source` means; nothing is loaded yet.

    `source`: a path to a file of one of `formats.FORMATS` or to a folder that holds one; "module:name" or
    "path/to/file.py:name" of a class, function or object; or a live object: a `Model`, one of a framework in
    `formats.LIVE`, a fitted scikit-learn estimator, a callable over arrays, an object with `predict`.
    `example`: rows that tell a Python model's inputs.
    Raises `InvalidModel` (`UnsafeModel` for a file that could run code nobody agreed to), `InvalidSetting`,
    `Unavailable`, `MissingExtra`.
    """
    if isinstance(source, str):
        if not source.strip():
            raise InvalidModel("the model has no name", expected="a path or module:name", got=repr(source))
        path = Path(source)
        if not _exists(path) and python_source.is_reference(source):
            found = python_source.find(source)
            from foretell.backends.live_object import open_object  # much to import, which no file needs

            return open_object(found.value, settings, example=example, found=found, source=source)
        if "://" in source:
            raise InvalidModel("models are opened from this machine's files only", where=source)
        source = path
    if isinstance(source, Path):
        opened = _open_path(source, settings)
        opened.model.example = example
        return opened
    from foretell.backends.live_object import open_object

    return open_object(source, settings, example=example)


def _open_path(given: Path, settings: ModelSettings) -> Opened:
    path = find_artefact(given)
    if path.is_file():
        check_looks(path)
    return known_format(path).open(path, settings)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def __getattr__(name: str) -> object:
    if name != "Opened":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from foretell.backends import opened

    return opened.Opened
