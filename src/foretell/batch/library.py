"""`foretell.score`: the job as a call."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.batch.conditions import parse
from foretell.batch.delimiter import delimiter_of
from foretell.batch.job import Wish
from foretell.batch.model_mark import called
from foretell.batch.output import open_output
from foretell.batch.progress import Onlooker
from foretell.batch.report import Report
from foretell.batch.score import Request, run
from foretell.errors import InvalidSetting
from foretell.repository.plan import plan
from foretell.repository.settings import library_settings


def score(
    model: object,
    data: str | Path,
    out: str | Path,
    *,
    key: str | Sequence[str] | None = None,
    mapping: Mapping[str, Sequence[str]] | None = None,
    where: str | Sequence[str] = (),
    top: int | None = None,
    stamp: bool = False,
    format: str | None = None,
    output_format: str | None = None,
    delimiter: str | None = None,
    text_keys: bool = False,
    source_options: Mapping[str, Any] | None = None,
    fresh: bool = False,
    retry: bool = False,
    query: str | None = None,
    table: str | None = None,
    work: str | Path | None = None,
    name: str | None = None,
    version: str | int | None = None,
    onlooker: Onlooker | None = None,
    **options: Any,
) -> Report:
    """Scores a data set: every row once, whatever crashes; see `foretell score --help` for what the arguments mean.

    `model`: a path or "module:Class", which runs in processes of its own; or a live object (a callable, a scikit-learn
    estimator, a `Model`, a predictor), which runs in this process, one call at a time: a crash of it ends this process,
    and the job goes on only if `version` says that the model is the same as before. `options`: the settings of models
    and jobs, by name. Raises what `foretell.batch.score.run` raises.
    """
    _check_path(data)
    settings, job = library_settings(options)
    source, known, number = _named(model, name, None if version is None else str(version))
    output = open_output(out, output_format, table, work)
    keys = (key,) if isinstance(key, str) else tuple(key or ())
    columns = {name: tuple(names) for name, names in (mapping or {}).items()} or None
    conditions = tuple(parse(text) for text in ([where] if isinstance(where, str) else where))
    wish = Wish(output.format, keys, columns, conditions, top, stamp)
    of_source = {**(source_options or {}), **({"text_keys": True} if text_keys else {})}
    if delimiter is not None:
        of_source["delimiter"] = delimiter_of(delimiter)
    request = Request(source, known, number, settings, data, wish, job, format, fresh, of_source, retry=retry,
                      query=query)  # fmt: skip
    return run(request, output, onlooker)


def _named(model: object, name: str | None, version: str | None) -> tuple[Any, str, str]:
    """The model, its name and its version. A live object without a version is never the same as one before."""
    if not isinstance(model, (str, Path)):
        named = name or str(getattr(model, "__name__", type(model).__name__))
        return model, named, version or f"live-{secrets.token_hex(8)}"
    (*_, planned) = plan([str(model)], newest=True)
    return planned.source, name or planned.name or called(planned.source), version or planned.version


def _check_path(data: object) -> None:
    if not isinstance(data, (str, Path)):
        fix = "name files or a folder; foretell.Predictor answers what is in memory"
        raise InvalidSetting("the data is no path", got=type(data).__name__, fix=fix)
