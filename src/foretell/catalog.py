"""Which models there are: from a name, and a version or label, to the engine that answers for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from foretell.errors import InvalidSetting, ModelNotFound, nearest

if TYPE_CHECKING:
    from foretell.backends.opened import Opened
    from foretell.engine.engine import Engine
    from foretell.types import Identity, ModelSpec

LATEST = "latest"

_NAME = re.compile(r"\w(?:[\w .-]{0,126}[\w-])?")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_SHOWN = 128


@dataclass(frozen=True, slots=True)
class Served:
    """One version of one model, loaded, and what is known of where it came from."""

    name: str
    version: str
    engine: Engine
    opened: Opened
    """Source, framework, size and passes, for `inspect` and the metadata calls."""

    @property
    def spec(self) -> ModelSpec:
        return self.engine.spec

    @property
    def identity(self) -> Identity:
        return self.engine.identity


class Catalog(Protocol):
    """What the doors ask. Every method may be called from any thread and never waits."""

    def resolve(self, name: str, version: str | None = None) -> Served:
        """The version of `name` with this number or label; None, "" and "latest" mean the highest number.

        Raises `ModelNotFound`, whose text begins as clients of the Open Inference Protocol expect.
        """
        ...

    def names(self) -> list[str]:
        """Every model, in order of name."""
        ...

    def versions(self, name: str) -> list[str]:
        """Every version of `name`, lowest first. Raises `ModelNotFound`."""
        ...

    def ready(self) -> bool:
        """Whether every model answers."""
        ...


class StaticCatalog:
    """A catalogue that never changes: what was loaded at the start.

    `labels` gives, per model, further names of its versions: `{"fraud": {"stable": "2"}}`. Raises `InvalidSetting`
    for a name or version that `check_name` or `check_version` refuses, one served twice, and a label without a version.
    """

    def __init__(self, served: Iterable[Served], labels: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._models: dict[str, dict[str, Served]] = {}
        for one in served:
            versions = self._models.setdefault(check_name(one.name), {})
            if check_version(one.version) in versions:
                raise InvalidSetting(f"model {one.name!r} version {one.version} is served twice")
            versions[one.version] = one
        self._models = {name: _in_order(versions) for name, versions in sorted(self._models.items())}
        self._latest = {name: versions[max(versions, key=int)] for name, versions in self._models.items()}
        self._labels = {name: dict(given) for name, given in (labels or {}).items()}
        for name, given in self._labels.items():
            for label, number in given.items():
                self._check_label(name, label, number)

    def resolve(self, name: str, version: str | None = None) -> Served:
        versions = self._versions(name)
        if version is None or version in {"", LATEST}:
            return self._latest[name]
        found = versions.get(version) or versions.get(self._labels.get(name, {}).get(version, ""))
        if found is None:
            shown = repr(version[:_SHOWN])[1:-1]
            raise ModelNotFound(
                f"Request for unknown model: {name!r} version {shown} is not found",
                fix="known: " + ", ".join([*versions, *self._labels.get(name, ())]),
            )
        return found

    def names(self) -> list[str]:
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        return list(self._versions(name))

    def ready(self) -> bool:
        return bool(self._models) and all(
            one.engine.ready for versions in self._models.values() for one in versions.values()
        )

    def _versions(self, name: str) -> Mapping[str, Served]:
        versions = self._models.get(name)
        if versions is None:
            shown = name[:_SHOWN]
            raise ModelNotFound(f"Request for unknown model: {shown!r} is not found", fix=nearest(shown, self._models))
        return versions

    def _check_label(self, name: str, label: str, number: str) -> None:
        if name not in self._models:
            raise InvalidSetting(f"label {label!r} is for an unknown model {name!r}", fix=nearest(name, self._models))
        if label in {"", LATEST} or _VERSION.fullmatch(label):
            raise InvalidSetting(f"{label!r} cannot be a label", where=name, expected="a word that is no version")
        if number not in self._models[name]:
            raise InvalidSetting(
                f"label {label!r} is for an unknown version {number!r}",
                where=name,
                fix=nearest(number, self._models[name]),
            )


def _in_order(versions: Mapping[str, Served]) -> dict[str, Served]:
    return {number: versions[number] for number in sorted(versions, key=int)}


def check_name(name: str) -> str:
    """The name itself, if a model may have it; else raises `InvalidSetting`.

    1 to 128 letters and digits of any script, `_`, `-`, `.` and inner spaces; the first is a letter, a digit or `_`,
    the last is not `.`. So no name is a path, leaves its folder, or hides a file.
    """
    if not _NAME.fullmatch(name):
        raise InvalidSetting(
            f"{name[:_SHOWN]!r} cannot be the name of a model",
            expected="1 to 128 letters, digits, '_', '-', '.' or inner spaces, the first a letter, a digit or '_'",
            fix="name it with NAME=MODEL",
        )
    return name


def check_version(version: str) -> str:
    """The version itself, if it is a positive whole number without leading zeros; else raises `InvalidSetting`."""
    if not _VERSION.fullmatch(version):
        raise InvalidSetting(f"{version[:_SHOWN]!r} cannot be a version", expected="a positive whole number, such as 1")
    return version
