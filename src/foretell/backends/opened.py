"""What opening a model gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from foretell.errors import InvalidSetting
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
    """"onnx", "scikit-learn", "python", or another of `formats.FORMATS`."""
    size_bytes: int | None
    passes: tuple[str, ...]
    """Optimisations that are applied."""
    permission: str = ""
    """The setting that lets such a file bring more than numbers: "trust", "allow_pickle", or none."""


_PERMISSIONS = {"trust": ".skops files", "allow_pickle": ".pkl, .joblib and other files that run code"}


def refuse_idle_permissions(given: Mapping[str, object], opened: Iterable[Opened]) -> None:
    """Raises `InvalidSetting` for a permission in `given` that no model here is of a kind to need."""
    used = {each.permission for each in opened}
    for name, files in _PERMISSIONS.items():
        if given.get(name) and name not in used:
            raise InvalidSetting(f"{name} is for {files}, and there is none here", fix="leave it out")
