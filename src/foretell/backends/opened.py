"""What opening a model gives."""

from __future__ import annotations

from dataclasses import dataclass

from foretell.model import Model


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that has been found and may be loaded, and what is known of where it came from."""

    model: Model
    """Not loaded yet."""
    name: str
    """File stem, class or function name."""
    digest: str
    """"sha256:..." over the artefact; "" for a live object."""
    source: str
    """For people: the path, "module:Class" or a word for the live object."""
    framework: str
    """"onnx", "scikit-learn" or "python"."""
    size_bytes: int | None
    passes: tuple[str, ...]
    """Optimisations that are applied."""
