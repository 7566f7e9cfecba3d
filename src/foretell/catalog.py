"""Which models there are: from a name, and a version or label, to the engine that answers for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from foretell.errors import InvalidSetting, ModelNotFound, NotReady, nearest
from foretell.model_names import check_name, check_version, is_version

if TYPE_CHECKING:
    from foretell.backends.opened import Opened
    from foretell.config import ModelSettings
    from foretell.engine.engine import Engine
    from foretell.engine.recorder import Recorder
    from foretell.types import Identity, ModelSpec

LATEST = "latest"

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

    @property
    def recorder(self) -> Recorder:
        return self.engine.recorder

    @property
    def only_streams(self) -> bool:
        return self.engine.model.only_streams


@dataclass(frozen=True, slots=True)
class Away:
    """One version of one model that is served and not in memory: a request for it has it loaded."""

    name: str
    version: str
    settings: ModelSettings
    recorder: Recorder
    """Who counts for it, whether it is in memory or not."""
    spec: ModelSpec | None = None
    """As it was when it was in memory last; None where it never was."""
    only_streams: bool = False

    @classmethod
    def of(cls, served: Served) -> Away:
        known = served.engine.settings, served.recorder, served.spec, served.only_streams
        return cls(served.name, served.version, *known)


Known = Served | Away


class Catalog(Protocol):
    """What the doors ask. Every method may be called from any thread and never waits."""

    def resolve(self, name: str, version: str | None = None) -> Served:
        """The version of `name` with this number or label; None, "" and "latest" mean the highest number.

        Raises `ModelNotFound`, whose text begins as clients of the Open Inference Protocol expect, and `NotReady` for
        one that is not in memory.
        """
        ...

    def find(self, name: str, version: str | None = None) -> Known:
        """As `resolve`, whether it is in memory or not. Raises `ModelNotFound`."""
        ...

    def known(self) -> list[Known]:
        """Every version of every model, in order of name and number."""
        ...

    def names(self) -> list[str]:
        """Every model, in order of name."""
        ...

    def versions(self, name: str) -> list[str]:
        """Every version of `name`, lowest first. Raises `ModelNotFound`."""
        ...

    def ready(self) -> bool:
        """Whether every model in memory answers."""
        ...

    def subscribe(self, changed: Callable[[], None]) -> None:
        """`changed` is called after each change, on the thread that made it."""
        ...


class _Shelf:
    """Every model at one moment; never changed, so that whoever has it sees all of that moment and nothing of the next.

    `labels` gives, per model, further names of its versions; one whose version is gone leads nowhere.
    """

    __slots__ = ("_labels", "_latest", "models")

    def __init__(self, models: Mapping[str, Mapping[str, Known]], labels: Mapping[str, Mapping[str, str]]) -> None:
        self.models = {name: _in_order(versions) for name, versions in sorted(models.items())}
        self._latest = {name: versions[max(versions, key=int)] for name, versions in self.models.items()}
        self._labels = labels

    def find(self, name: str, version: str | None) -> Known:
        versions = self.versions(name)
        if version is None or version in {"", LATEST}:
            return self._latest[name]
        labels = self._labels.get(name, {})
        found = versions.get(version) or versions.get(labels.get(version, ""))
        if found is None:
            known = [*versions, *(label for label, number in labels.items() if number in versions)]
            raise _unknown_version(name, version, "known: " + ", ".join(known))
        return found

    def versions(self, name: str) -> Mapping[str, Known]:
        versions = self.models.get(name)
        if versions is None:
            shown = name[:_SHOWN]
            raise ModelNotFound(f"Request for unknown model: {shown!r} is not found", fix=nearest(shown, self.models))
        return versions

    def ready(self) -> bool:
        return bool(self.models) and all(one.engine.ready for one in self.known() if isinstance(one, Served))

    def known(self) -> list[Known]:
        return [one for versions in self.models.values() for one in versions.values()]

    def with_models(self, models: Mapping[str, Mapping[str, Known]]) -> _Shelf:
        return _Shelf(models, self._labels)


class _Reads:
    """What a catalogue answers, from the shelf of the moment."""

    _shelf: _Shelf

    def resolve(self, name: str, version: str | None = None) -> Served:
        found = self._shelf.find(name, version)
        if isinstance(found, Away):
            raise NotReady("the model is not in memory", where=f"model {name!r}", fix="a request has it loaded")
        return found

    def find(self, name: str, version: str | None = None) -> Known:
        return self._shelf.find(name, version)

    def known(self) -> list[Known]:
        return self._shelf.known()

    def loaded(self) -> list[Served]:
        """Those in memory."""
        return [one for one in self._shelf.known() if isinstance(one, Served)]

    def names(self) -> list[str]:
        return list(self._shelf.models)

    def versions(self, name: str) -> list[str]:
        return list(self._shelf.versions(name))

    def ready(self) -> bool:
        return self._shelf.ready()


class StaticCatalog(_Reads):
    """A catalogue that never changes: what was loaded at the start.

    `labels` gives, per model, further names of its versions: `{"fraud": {"stable": "2"}}`. Raises `InvalidSetting`
    for a name or version that `check_name` or `check_version` refuses, one served twice, and a label without a version.
    """

    def __init__(self, served: Iterable[Served], labels: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._shelf = _filled(served, labels or {})

    def subscribe(self, changed: Callable[[], None]) -> None:
        """There will be nothing to tell."""


class LiveCatalog(_Reads):
    """A catalogue whose models come and go: each change is one step, and readers see either all of it or none.

    Bounded: `most_models` names, `most_versions` of each. Raises as `StaticCatalog`.
    """

    def __init__(
        self,
        served: Iterable[Served] = (),
        labels: Mapping[str, Mapping[str, str]] | None = None,
        *,
        most_models: int = 1024,
        most_versions: int = 64,
    ) -> None:
        self._shelf = _filled(served, labels or {})
        self._most_models, self._most_versions = most_models, most_versions
        self._lock = threading.Lock()
        self._told: list[Callable[[], None]] = []
        self._check_room(self._shelf.models)

    def subscribe(self, changed: Callable[[], None]) -> None:
        self._told.append(changed)

    def put(self, served: Served) -> None:
        """Adds a version, or puts it in the place of one that is away. Raises `InvalidSetting` for one that is there,
        and where there is no room."""
        with self._lock:
            models = self._copied()
            if isinstance(models.get(served.name, {}).get(served.version), Away):
                models[served.name][served.version] = served
            else:
                _add(models, served)
            self._check_room(models)
            self._shelf = self._shelf.with_models(models)
        self._tell()

    def put_away(self, away: Away) -> None:
        """Adds a version that is away, or puts it in the place of what is there. Raises `InvalidSetting` where there
        is no room."""
        with self._lock:
            models = self._copied()
            models.get(away.name, {}).pop(away.version, None)
            _add(models, away)
            self._check_room(models)
            self._shelf = self._shelf.with_models(models)
        self._tell()

    def remove(self, name: str, version: str | None = None) -> list[Known]:
        """Takes a version out, or without one all of them in one step; gives what it took. Raises `ModelNotFound`."""
        with self._lock:
            models = self._copied()
            gone = list(self._shelf.versions(name).values()) if version is None else [self._exact(name, version)]
            for one in gone:
                del models[name][one.version]
            self._shelf = self._shelf.with_models({name: left for name, left in models.items() if left})
        self._tell()
        return gone

    def swap(self, old: Served, new: Served) -> None:
        """Puts `new` in the place of `old`, the same version. Raises `ModelNotFound` where `old` is not there."""
        with self._lock:
            models = self._copied()
            if self._exact(new.name, new.version) is not old:
                raise _unknown_version(new.name, new.version)
            models[new.name][new.version] = new
            self._shelf = self._shelf.with_models(models)
        self._tell()

    def _exact(self, name: str, version: str) -> Known:
        found = self._shelf.versions(name).get(version)
        if found is None:
            raise _unknown_version(name, version)
        return found

    def _check_room(self, models: Mapping[str, Mapping[str, Known]]) -> None:
        if len(models) > self._most_models:
            raise InvalidSetting("there are too many models", expected=f"at most {self._most_models}", got=len(models))
        for name, versions in models.items():
            if len(versions) > self._most_versions:
                most = f"at most {self._most_versions}"
                what = f"model {name!r} has too many versions"
                raise InvalidSetting(what, expected=most, got=len(versions))

    def _copied(self) -> dict[str, dict[str, Known]]:
        return {name: dict(versions) for name, versions in self._shelf.models.items()}

    def _tell(self) -> None:
        for changed in list(self._told):
            changed()


def _filled(served: Iterable[Known], labels: Mapping[str, Mapping[str, str]]) -> _Shelf:
    models: dict[str, dict[str, Known]] = {}
    for one in served:
        _add(models, one)
    for name, given in labels.items():
        for label, number in given.items():
            _check_label(models, name, label, number)
    return _Shelf(models, {name: dict(given) for name, given in labels.items()})


def _add(models: dict[str, dict[str, Known]], served: Known) -> None:
    versions = models.setdefault(check_name(served.name), {})
    if check_version(served.version) in versions:
        raise InvalidSetting(f"model {served.name!r} version {served.version} is served twice")
    versions[served.version] = served


def _unknown_version(name: str, version: str, fix: str = "") -> ModelNotFound:
    what = f"{name!r} version {repr(version[:_SHOWN])[1:-1]} is not found"
    return ModelNotFound(f"Request for unknown model: {what}", fix=fix)


def _check_label(models: Mapping[str, Mapping[str, Known]], name: str, label: str, number: str) -> None:
    if name not in models:
        raise InvalidSetting(f"label {label!r} is for an unknown model {name!r}", fix=nearest(name, models))
    if label in {"", LATEST} or is_version(label):
        raise InvalidSetting(f"{label!r} cannot be a label", where=name, expected="a word that is no version")
    if number not in models[name]:
        fix = nearest(number, models[name])
        raise InvalidSetting(f"label {label!r} is for an unknown version {number!r}", where=name, fix=fix)


def _in_order(versions: Mapping[str, Known]) -> dict[str, Known]:
    return {number: versions[number] for number in sorted(versions, key=int)}
