"""Functions that jax.export has written: .jax files."""

from __future__ import annotations

from pathlib import Path

from foretell.backends.artefact_bytes import check_digest
from foretell.backends.artefact_file import Artefact
from foretell.backends.jax.model import JaxModel
from foretell.backends.opened import Opened
from foretell.config import ModelSettings


def open_jax(path: Path, settings: ModelSettings) -> Opened:
    """The file is read once; its program is checked at `load`. Raises `InvalidModel`, `UnsafeModel` for another digest
    than `settings.sha256`, `InvalidSetting`, `Unavailable`."""
    artefact = Artefact.read(path)
    check_digest(artefact.digest, settings.sha256, path)
    return Opened(
        model=JaxModel(artefact.data, path.name, settings),
        name=path.stem,
        digest=artefact.digest,
        source=str(path),
        framework="jax",
        size_bytes=len(artefact.data),
        passes=(),
    )
