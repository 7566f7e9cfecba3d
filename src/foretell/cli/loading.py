"""From what the command line names to a catalogue of loaded models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from foretell.backends.opened import Opened, refuse_idle_permissions
from foretell.backends.python.source import is_reference
from foretell.catalog import LiveCatalog, Served
from foretell.cli.meant import cache_folder, settings_of
from foretell.cli.telling import Teller
from foretell.clock import Clock
from foretell.config import ModelSettings, ServerSettings
from foretell.cores import usable_cores
from foretell.engine.engine import Engine
from foretell.engine.profile_file import ProfileFile
from foretell.engine.recorder import Recorder
from foretell.errors import InferenceError, InvalidModel, InvalidSetting
from foretell.model_names import check_name
from foretell.observe.stats import Stats
from foretell.remote.opening import Opener
from foretell.repository.loader import Loader
from foretell.repository.plan import Look, Planned, Source, look, plan
from foretell.saying import Level, Say
from foretell.workers.division import divided


def load(
    planned: Planned, settings: ModelSettings, *, serves: bool = False, workers: int = 1, tell: Teller | None = None
) -> Served:
    """Opens and loads one model. `serves`: for many requests at a time. `workers`: processes that share the cores."""
    opener = Opener(planned.source, settings, planned.name, workers=workers)
    return load_opened(planned, settings, opener, opener.first(), Stats(), serves=serves, say=tell or Teller())


def load_opened(
    planned: Planned,
    settings: ModelSettings,
    opener: Opener,
    opened: Opened,
    recorder: Recorder,
    *,
    serves: bool,
    say: Say,
) -> Served:
    """Loads what `opener` has opened."""
    name = planned.name or check_name(opened.name)
    way = f"{settings.device} {opener.settings.threads} {usable_cores()}{' apart' * opened.model.apart}"
    about = _of(say, name, planned.version)
    engine = Engine(
        opened.model,
        settings,
        name=name,
        version=planned.version,
        digest=opened.digest,
        recorder=recorder,
        again=opener.again(opened.digest),
        apart=opener.apart(opened.digest) if serves and opened.framework == "python" else None,
        profile_file=ProfileFile(cache_folder() / "profiles", way),
        say=about,
    ).load()
    for trial in engine.model.trials if serves else ():
        about(trial.describe(), event="optimization", trial=asdict(trial))
    return Served(name, planned.version, engine, opened)


class CommandLine:
    """What a command line named, for a loader that looks at it and loads it again while the server runs, as one of
    `workers` processes."""

    def __init__(self, words: Sequence[str], flags: Mapping[str, Any], workers: int, say: Say) -> None:
        self._workers, self._say = workers, say
        self._sources = [Source.of(word) for word in words]
        self._flags = dict(flags)
        self._imported: dict[str, str] = {}

    def look(self, name: str | None = None) -> Look:
        return look(self._sources, name)

    def settings(self, planned: Planned) -> ModelSettings:
        return divided(settings_of(planned, self._flags).settings, self._workers)

    def open(self, planned: Planned, settings: ModelSettings) -> Opened:
        opened = self._opener(planned, settings).first()
        if not opened.model.apart:
            self.check_import(planned.source, opened.digest)
        return opened

    def check_import(self, source: str, digest: str) -> None:
        """Raises `InvalidModel` for a "module:Class" whose file is not the one that Python has imported, once for all:
        the old code must not answer as if it were the new."""
        by_name = is_reference(source) and not source.rpartition(":")[0].endswith(".py")
        if by_name and self._imported.setdefault(source, digest) != digest:
            fix = "name it by its file, or start again"
            raise InvalidModel("its module was changed, and is imported once only", where=source, fix=fix)

    def load(self, planned: Planned, settings: ModelSettings, opened: Opened, recorder: Recorder | None) -> Served:
        opener = self._opener(planned, settings)
        return load_opened(planned, settings, opener, opened, recorder or Stats(), serves=True, say=self._say)

    def _opener(self, planned: Planned, settings: ModelSettings) -> Opener:
        return Opener(planned.source, settings, planned.name, workers=self._workers)


def load_all(
    sources: Sequence[str],
    flags: Mapping[str, Any],
    *,
    newest: bool = False,
    workers: int = 1,
    tells: bool = True,
    tell: Teller | None = None,
    most: int | None = None,
) -> LiveCatalog:
    """A catalogue of everything named; with `newest`, of REPO/NAME only the newest version; with `most`, of the first
    ones.

    If one fails, those loaded before are closed again. `workers`: processes that do the same and share the limits.
    `tells`: whether people see notes.
    """
    loaded: list[Served] = []
    tell = tell or Teller()
    try:
        named = plan(sources, newest=newest)
        for planned in first(named, most):
            for note in planned.notes if tells else ():
                tell.note(note)
            settings = divided(settings_of(planned, flags).settings, workers)
            loaded.append(load(planned, settings, serves=not newest, workers=workers, tell=tell))
        if len(loaded) == len(named):
            refuse_idle_permissions(flags, [served.opened for served in loaded])
        if not loaded:
            raise InvalidSetting("there is nothing to serve", expected="a MODEL, NAME=MODEL or a folder of models")
        return LiveCatalog(loaded)
    except InferenceError:
        for served in loaded:
            served.engine.close()
        raise


def first(planned: Sequence[Planned], most: int | None) -> list[Planned]:
    """At most so many, in their order: the newest version of each model before older ones."""
    if most is None or most >= len(planned):
        return list(planned)
    newest = {one.name or one.source: at for at, one in enumerate(planned)}.values()
    chosen = sorted(range(len(planned)), key=lambda at: (at not in newest, at))[:most]
    return [planned[at] for at in sorted(chosen)]


def loader_of(
    words: Sequence[str],
    flags: Mapping[str, Any],
    say: Say,
    settings: ServerSettings,
    *,
    workers: int = 1,
    tells: bool = True,
    clock: Clock | None = None,
) -> Loader:
    """Everything named, and ready to be replaced: loaded, but for those that the settings have no room for; see
    `Loader` and `load_all`."""
    sources = CommandLine(words, flags, workers, say)
    before = sources.look()
    tell, most = say if isinstance(say, Teller) else None, settings.max_loaded_models
    if most is not None and before.problems:  # what is not loaded now is looked at all the same
        raise before.problems[0].error
    catalog = load_all(words, flags, workers=workers, tells=tells, tell=tell, most=most)
    loader = Loader(catalog, sources, say, patience_s=settings.drain_timeout_s)
    for key, planned in before.found.items():
        loader.intake.note(planned)
        served = loader.intake.serving(key)
        if served is None:
            loader.intake.put_away(planned)
        elif not served.opened.model.apart:
            sources.check_import(planned.source, served.opened.digest)
    loader.keep_room(settings, clock)
    return loader


def _of(say: Say, model: str, version: str) -> Say:
    """The same about one version of a model."""

    def about(line: str, /, *, event: str = "message", level: Level = "info", **fields: object) -> None:
        say(f"{model} version {version}: {line}", event=event, level=level, model=model, version=version, **fields)

    return about
