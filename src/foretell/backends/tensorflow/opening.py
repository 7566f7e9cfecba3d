"""SavedModels: folders with a saved_model.pb."""

from __future__ import annotations

from pathlib import Path

from foretell.backends.artefact_bytes import bytes_of, check_digest, digest_of
from foretell.backends.opened import Opened
from foretell.backends.tensorflow.model import TensorflowModel
from foretell.config import ModelSettings


def open_saved_model(path: Path, settings: ModelSettings) -> Opened:
    """Nothing of it is read but its bytes before `load`, which checks its operators.

    Raises `InvalidModel` for a link that leaves the folder, `UnsafeModel` for another digest than `settings.sha256`,
    `InvalidSetting`, `Unavailable`.
    """
    digest = digest_of(path)
    check_digest(digest, settings.sha256, path)
    return Opened(
        model=TensorflowModel(path, digest, settings),
        name=path.name,
        digest=digest,
        source=str(path),
        framework="tensorflow",
        size_bytes=bytes_of(path),
        passes=(),
        permission="allow_pickle",
    )
