"""`foretell predict`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np

from foretell.backends.opened import refuse_idle_permissions
from foretell.cli.data import read_data, rows_with_missing, to_intake
from foretell.cli.flag import Flag
from foretell.cli.flags import CallFlags, JobFlags, ModelFlags, given, read_mapping
from foretell.cli.loading import load
from foretell.cli.meant import job_settings, only, settings_of
from foretell.cli.output import print_json, print_table, results_alone
from foretell.columns import Array, Batch, Dense, row_bytes
from foretell.config import JobSettings
from foretell.engine.ahead import Threads, rows_per_call, run_ahead, threads_for
from foretell.engine.engine import Engine
from foretell.errors import InvalidSetting
from foretell.forms import to_numpy, to_python
from foretell.types import ModelSpec

_SHOWN_ROWS = 50

Format = Literal["csv", "image", "json", "jsonl", "npy", "parquet", "tsv", "txt"]


def predict(
    source: Annotated[str, Flag(("MODEL",))],
    data: Annotated[str, Flag(("DATA",), dash=True)],
    /,
    *,
    top: int | None = None,
    map: tuple[str, ...] = (),
    format: Format | None = None,
    json: bool = False,
    model: ModelFlags = ModelFlags(),
    calls: CallFlags = CallFlags(),
    job: JobFlags = JobFlags(),
) -> int:
    """Answer the rows of a file, or of JSON on the command line.

    Parameters
    ----------
    source
        A model file, "module:Class", a folder that holds one model, or REPO/NAME, whose newest version answers.
    data
        A .json, .jsonl, .csv, .tsv, .parquet, .npy, .txt or image file; "-" for standard input; or the JSON itself.
    top
        For outputs of class scores: the K best, by name where the model carries names.
    map
        INPUT=COLUMN,COLUMN,... where column names differ; repeat for more inputs.
    format
        Format of the data, where its name does not tell; of standard input, json if not given.
    json
        Print JSON.
    """
    if top is not None and top < 1:
        raise InvalidSetting("--top is out of range", expected="1 or more", got=top)
    planned = only(source)
    settings = job_settings(job).settings
    flags = {**model.given(), **given(calls)}
    if settings.batch_size is not None:
        flags["max_batch_size"] = settings.batch_size
    rows = read_data(data, format)
    its = settings_of(planned, flags).settings
    with results_alone():
        # One call follows the other here: further replicas would have nothing to do.
        served = load(planned, replace(its, device=its.devices[0], replicas=1, max_replicas=None))
        try:
            refuse_idle_permissions(flags, [served.opened])
            intake = to_intake(rows, served.spec, read_mapping(map))
            _say_what_is_missing(intake.batch, served.spec)
            answer = run_sliced(served.engine, intake.batch, settings)
            records = to_records(answer, served.spec, top)
        finally:
            served.engine.close()
    _print(records, intake.single, json)
    return 3 if answer.errors else 0


def run_sliced(engine: Engine, batch: Batch, job: JobSettings) -> Batch:
    """The answer of many rows, in calls of a good size; of all rows, where they depend on each other."""
    spec = engine.spec
    threads = threads_for(engine.model, engine.settings, job.num_workers)
    size = job.batch_size or min(rows_per_call(row_bytes(batch), threads), engine.settings.max_batch_size)
    if spec.stateful or not spec.row_wise:
        size = max(1, batch.rows)
    pieces = [batch.slice(at, at + size) for at in range(0, batch.rows, size)] or [batch]
    if len(pieces) == 1:
        threads = Threads()
    if threads.make_calls:
        return engine.join(list(run_ahead(pieces, lambda piece: engine.finish(engine.prepare(piece)), threads.ahead)))
    return engine.join([engine.finish(piece) for piece in run_ahead(pieces, engine.prepare, threads.ahead)])


def _say_what_is_missing(batch: Batch, spec: ModelSpec) -> None:
    if missing := rows_with_missing(batch, spec):
        print(f"foretell: note: missing values (NaN) in {missing:,} of {batch.rows:,} rows", file=sys.stderr)


def to_records(answer: Batch, spec: ModelSpec, top: int | None) -> list[dict[str, Any]]:
    """One record per row, its outputs by name; a failed row has only its error."""
    columns: dict[str, list[Any]] = {}
    for name, column in answer.columns.items():
        labels, tensor = (spec.labels or {}).get(name), spec.output(name)
        datatype = tensor.datatype if tensor is not None else None
        values = to_numpy(column, datatype) if isinstance(column, Dense) else None
        if top is not None and values is not None and _are_scores(values):
            columns[name] = [best(row, labels, top) for row in values]
        else:
            columns[name] = to_python(column, datatype)
    if top is not None and not any(isinstance(values[0], dict) for values in columns.values() if values):
        raise InvalidSetting("--top needs an output of class scores", got=f"outputs {list(answer.columns)}")
    records = []
    for row in range(answer.rows):
        error = answer.errors.get(row)
        record = {name: values[row] for name, values in columns.items()}
        records.append({"error": error.message} if error else record)
    return records


def _are_scores(values: Array) -> bool:
    return values.dtype.kind == "f" and values.ndim == 2 and values.shape[1] > 1


def best(scores: np.ndarray[Any, Any], labels: tuple[str, ...] | None, top: int) -> dict[str, float]:
    """The `top` highest scores by label, or by index where there are no labels; highest first, ties by index."""
    order = np.argsort(-scores, kind="stable")[:top]
    return {labels[i] if labels else str(i): float(scores[i]) for i in order.tolist()}


def _print(records: list[dict[str, Any]], single: bool, json: bool) -> None:
    if json:
        print_json(records[0] if single else records)
        return
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [[index, *[_cell(record.get(name, "")) for name in names]] for index, record in enumerate(records)]
    print_table(["row", *names], rows[:_SHOWN_ROWS])
    if len(rows) > _SHOWN_ROWS:
        print(f"... and {len(rows) - _SHOWN_ROWS:,} more rows; --json prints all")


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {score:.3f}" for name, score in value.items())
    return value
