"""Opens folders of Hugging Face; nothing is fetched from anywhere, and no code of theirs is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from foretell.backends.artefact_bytes import bytes_of, check_digest, digest_of
from foretell.backends.huggingface.folder import (
    ENTITIES,
    check_folder,
    check_modules,
    is_cross_encoder,
    is_static,
    task_of,
)
from foretell.backends.opened import Opened
from foretell.config import ModelSettings
from foretell.errors import InvalidSetting
from foretell.extras import needs
from foretell.model import Model


def open_transformers(path: Path, settings: ModelSettings) -> Opened:
    """A model of `transformers`, by `settings.task` or what its architecture says.

    Raises `UnsafeModel` for code and pickles in the folder, `InvalidModel`, `MissingExtra`, and as PyTorch models do.
    """
    config = check_folder(path)
    task = task_of(config, settings.task, path)
    with needs("transformers", "transformers", "a Hugging Face model"):
        import transformers  # noqa: F401

    def made() -> Model:
        if task.startswith("image-"):
            from foretell.backends.huggingface.images import ImageModel

            return ImageModel(path, settings, task)
        if task == ENTITIES:
            from foretell.backends.huggingface.entities import EntityModel

            return EntityModel(path, settings, task)
        from foretell.backends.huggingface.texts import TextModel

        return TextModel(path, settings, task)

    return _opened(path, settings, made, "transformers")


def open_sentences(path: Path, settings: ModelSettings) -> Opened:
    """A sentence encoder, or a cross-encoder, which is a network of `transformers` for two texts. Raises as
    `open_transformers`."""
    check_modules(path)
    if is_cross_encoder(path):
        return open_transformers(path, settings)
    static = is_static(path)
    if not static:
        check_folder(path)
    if settings.task is not None:
        fix = "leave it out"
        raise InvalidSetting("a sentence encoder has one task", where=str(path), got=f"task = {settings.task}", fix=fix)
    with needs("sentence-transformers", "sentence-transformers", "a sentence encoder"):
        import sentence_transformers  # noqa: F401

    def made() -> Model:
        from foretell.backends.huggingface.sentences import SentenceEncoder
        from foretell.backends.huggingface.static import StaticEncoder

        if static:
            return StaticEncoder(path, settings)
        return SentenceEncoder(path, settings)

    return _opened(path, settings, made, "sentence-transformers")


def _opened(path: Path, settings: ModelSettings, made: Callable[[], Model], framework: str) -> Opened:
    digest = digest_of(path)
    check_digest(digest, settings.sha256, path)
    return Opened(
        model=made(), name=path.name, digest=digest, source=str(path), framework=framework,
        size_bytes=bytes_of(path), passes=(),
    )  # fmt: skip
