"""Opening the same artefact once and again, in this process or in one of its own for each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.backends import Opened, open_model
from foretell.backends.artefact_file import has_threads
from foretell.backends.python.source import is_reference
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InvalidModel, InvalidSetting
from foretell.model import Model

if TYPE_CHECKING:
    from foretell.remote.model import RemoteModel


class Opener:
    """Opens `source`, which must be a path or "module:Class", as the setting `executor` says.

    `settings` are those of each one: where there are several, they share the cores. `example`: rows that tell a Python
    model's inputs; they do not travel to a process.
    """

    def __init__(
        self,
        source: str | Path,
        settings: ModelSettings,
        name: str | None = None,
        *,
        example: object = None,
        workers: int = 1,
    ) -> None:
        """`workers`: processes that do the same on this machine. Raises `InvalidSetting` for an example that would have
        to travel."""
        if example is not None and settings.executor == "process":
            fix = "let the model declare its inputs, or leave executor out"
            raise InvalidSetting("example does not reach a model in a process of its own", fix=fix)
        self._source, self._name, self._example = source, name or _name(source), example
        self.settings = replace(settings, threads=_share(settings, workers)) if has_threads(source) else settings

    def first(self) -> Opened:
        """Nothing is loaded yet, but in a process of its own: there the model is loaded as well, and nothing of it ever
        comes into this process."""
        if self.settings.executor == "process":
            return self._remote().open(self.settings.devices[0])
        return open_model(self._source, self.settings, example=self._example)

    def again(self, digest: str) -> Callable[[], Model]:
        """What opens a further one in the same way. It raises `InvalidModel` where the artefact is another by then."""
        if self.settings.executor == "process":
            return self.apart(digest)

        def open_here() -> Model:
            another = open_model(self._source, self.settings, example=self._example)
            if another.digest != digest:
                what = "the file is not the one this version was loaded from"
                fix = "load the model again, or put that file back"
                raise InvalidModel(what, where=str(self._source), fix=fix)
            return another.model

        return open_here

    def apart(self, digest: str) -> Callable[[], Model]:
        """What opens a further one in a process of its own. That raises the same, but only when it is loaded."""
        return lambda: self._remote(digest)

    def _remote(self, digest: str | None = None) -> RemoteModel:
        from foretell.remote.model import RemoteModel  # much to import, which no model in this process needs
        from foretell.remote.recipe import Recipe

        return RemoteModel(Recipe.of(self._source, self.settings, name=self._name), digest=digest)


def open_any(
    source: object, settings: ModelSettings, name: str | None, example: object
) -> tuple[Opened, Callable[[], Model] | None]:
    """A model, and what opens it again where that can be: of a live object there is one only."""
    if not isinstance(source, (str, Path)):
        return open_model(source, settings, example=example), None
    opener = Opener(source, settings, name, example=example)
    opened = opener.first()
    return opened, opener.again(opened.digest)


def _share(settings: ModelSettings, workers: int) -> int:
    """Threads inside one call of one of several replicas."""
    most = workers * settings.most_replicas
    return settings.shared_threads(max(1, usable_cores() // most) if most > 1 else 0)


def _name(source: str | Path) -> str:
    """What a model that nobody has named is called, before it is open and tells."""
    text = str(source)
    return text.rpartition(":")[2] if is_reference(text) and not Path(text).exists() else Path(text).stem
