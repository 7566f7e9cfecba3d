"""Keras models from files and from live objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foretell.backends.artefact_bytes import bytes_of, check_digest, digest_of
from foretell.backends.keras.model import KerasModel, import_keras, read_file
from foretell.backends.opened import Opened
from foretell.config import ModelSettings
from foretell.errors import InvalidModel
from foretell.model import Model


def open_keras(path: Path, settings: ModelSettings) -> Opened:
    """A .keras file; nothing of it is read but its bytes before `load`, which checks what it brings.

    Raises `UnsafeModel` for another digest than `settings.sha256`, `InvalidModel`, `InvalidSetting`, `Unavailable`.
    """
    digest = digest_of(path)
    check_digest(digest, settings.sha256, path)
    return Opened(
        model=KerasModel(lambda: read_file(path, digest, settings), path.name, settings),
        name=path.stem,
        digest=digest,
        source=str(path),
        framework="keras",
        size_bytes=bytes_of(path),
        passes=(),
        permission="allow_pickle",
    )


def live_keras(value: Any, settings: ModelSettings, where: str, example: object = None) -> Model:
    """A model that knows its inputs. Raises `InvalidModel` for anything else, a layer alone too."""
    if not isinstance(value, import_keras().Model):
        raise InvalidModel("this is no model of Keras", where=where, expected="a keras.Model", got=type(value).__name__)
    return KerasModel(lambda: value, where, settings)
