"""`foretell.stream`: the stream as a call."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.errors import InvalidSetting
from foretell.events.interfaces import Sink, Source, State
from foretell.events.opening import ends_of
from foretell.events.report import Nobody, Onlooker, Report
from foretell.events.stream import Ends, Request, Stopper, Wish, run
from foretell.repository.plan import plan
from foretell.repository.settings import library_settings

_JOB = frozenset({"batch_size", "row_attempts", "max_dead_letters", "max_line_bytes", "commit_interval_s",
                  "metrics_file"})  # fmt: skip


def stream(
    model: object,
    source: str | Path | Source = "-",
    sink: str | Path | Sink = "-",
    *,
    key: str | Sequence[str] = (),
    mapping: Mapping[str, Sequence[str]] | None = None,
    top: int | None = None,
    state: str | Path | State | None = None,
    dead_letters: str | Path | Sink | None = None,
    once: bool = False,
    fresh: bool = False,
    name: str | None = None,
    version: str | None = None,
    onlooker: Onlooker | None = None,
    stopper: Stopper | None = None,
    **options: Any,
) -> Report:
    """Answers events until the source ends, or `stopper` has it stopped; see `foretell stream --help` for what the
    arguments mean.

    `model`: a path or "module:Class", which runs in a process of its own; or a live object (a callable, a scikit-learn
    estimator, a `Model`), which runs in this process: a crash of it ends this process, and the stream goes on only if
    `version` says that the model is the same as before. `source` and `sink`: addresses, or both objects of
    `foretell.events.interfaces`; `state` and `dead_letters` are objects then, too, or None. `stopper`: a context
    manager around the run, made with the function that stops it. `options`: the settings of models and jobs, by name.
    Raises what `foretell.events.stream.run` raises.
    """
    settings, job = library_settings(options, _JOB)
    looks = onlooker or Nobody()
    ends = _ends(source, sink, state, dead_letters, once, job.max_line_bytes, looks)
    named, number, opened = _named(model, name, version)
    keys = (key,) if isinstance(key, str) else tuple(key)
    columns = {name: tuple(names) for name, names in (mapping or {}).items()} or None
    if top is not None and top < 1:
        raise InvalidSetting("top is out of range", expected="1 or more", got=top)
    request = Request(
        opened, named, number, settings, Wish(keys, columns, top), settings.timeout_s, job.batch_size,
        job.commit_interval_s, job.max_dead_letters, job.row_attempts, fresh, job.metrics_file,
    )  # fmt: skip
    return run(request, ends, looks, stopper)


def _ends(
    source: str | Path | Source,
    sink: str | Path | Sink,
    state: str | Path | State | None,
    letters: str | Path | Sink | None,
    once: bool,
    most_line_bytes: int,
    onlooker: Onlooker,
) -> Ends:
    if isinstance(source, (str, Path)) and isinstance(sink, (str, Path)):
        if isinstance(state, State) or isinstance(letters, Sink):
            raise InvalidSetting("state and dead_letters are objects only where source and sink are", fix="give paths")
        return ends_of(source, sink, state=state, dead_letters=letters, once=once, most_line_bytes=most_line_bytes,
                       onlooker=onlooker)  # fmt: skip
    if isinstance(source, (str, Path)) or isinstance(sink, (str, Path)):
        raise InvalidSetting("one of source and sink is an address, the other an object", fix="give two of one kind")
    if isinstance(state, (str, Path)) or isinstance(letters, (str, Path)):
        raise InvalidSetting("state and dead_letters are addresses only where source and sink are", fix="give objects")
    if once:
        raise InvalidSetting("once would do nothing: a source that is an object ends by itself", fix="leave it out")
    if state is not None and not (source.resumes and sink.resumes and (letters is None or letters.resumes)):
        raise InvalidSetting("state would do nothing: source or sink cannot be resumed", fix="leave it out")
    names = {"source": type(source).__name__, "sink": type(sink).__name__}
    if letters is not None:
        names["dead_letters"] = type(letters).__name__
    return Ends(source, sink, letters, state, names)


def _named(model: object, name: str | None, version: str | None) -> tuple[str | None, str, object]:
    """Name, version and model. A live object without a version is never the same as one before."""
    if not isinstance(model, (str, Path)):
        return name, version or f"live-{secrets.token_hex(8)}", model
    (*_, planned) = plan([str(model)], newest=True)
    return name or planned.name, version or planned.version, planned.source
