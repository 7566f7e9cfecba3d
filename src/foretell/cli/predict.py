"""`foretell predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from foretell.cli.flags import ModelFlags, read_mapping
from foretell.cli.loading import load, plan
from foretell.cli.output import print_json, print_table
from foretell.columns import Batch, Dense, row_bytes
from foretell.engine.ahead import rows_per_call
from foretell.engine.engine import Engine
from foretell.engine.replica import join_answers
from foretell.errors import InvalidInput, InvalidSetting
from foretell.forms import to_batch, to_python
from foretell.forms.files import parse_json, read
from foretell.types import ModelSpec

_SHOWN_ROWS = 50


def predict(
    source: Annotated[str, Parameter(name="MODEL")],
    data: Annotated[str, Parameter(name="DATA", allow_leading_hyphen=True)],
    *,
    top: int | None = None,
    map: tuple[str, ...] = (),
    format: str | None = None,
    json: bool = False,
    model: ModelFlags = ModelFlags(),
) -> int:
    """Answer the rows of a file, or of JSON on the command line.

    Parameters
    ----------
    source
        A model file, "module:Class", or a folder that holds one model.
    data
        A .json, .jsonl, .csv, .npy, .txt or image file; "-" for JSON on standard input; or the JSON itself.
    top
        For outputs of class scores: the K best, by name where the model carries names.
    map
        INPUT=COLUMN,COLUMN,... where column names differ; repeat for more inputs.
    format
        Format of the data, where its name does not tell.
    json
        Print JSON.
    """
    if top is not None and top < 1:
        raise InvalidSetting("--top is out of range", expected="1 or more", got=top)
    planned = plan([source])
    if len(planned) != 1:
        raise InvalidSetting(f"{source} holds {len(planned)} models", fix="name one: NAME/VERSION/artefact")
    rows = _read(data, format)
    served = load(planned[0], model.given())
    with_engine = served.engine
    try:
        intake = to_batch(rows, served.spec, read_mapping(map))
        answer = run_sliced(with_engine, intake.batch)
        records = to_records(answer, served.spec, top)
    finally:
        with_engine.close()
    _print(records, intake.single, json)
    return 3 if answer.errors else 0


def run_sliced(engine: Engine, batch: Batch) -> Batch:
    """The answer of many rows, in calls of a good size."""
    size = rows_per_call(row_bytes(batch))
    pieces = [batch.slice(at, at + size) for at in range(0, batch.rows, size)] or [batch]
    return join_answers([engine.run(piece) for piece in pieces])


def to_records(answer: Batch, spec: ModelSpec, top: int | None) -> list[dict[str, Any]]:
    """One record per row, its outputs by name; a failed row has only its error."""
    columns: dict[str, list[Any]] = {}
    for name, column in answer.columns.items():
        labels = (spec.labels or {}).get(name)
        scores = isinstance(column, Dense) and column.data.dtype.kind == "f" and column.data.ndim == 2
        if top is not None and scores and isinstance(column, Dense) and column.data.shape[1] > 1:
            columns[name] = [best(row, labels, top) for row in column.data]
        else:
            columns[name] = to_python(column)
    if top is not None and not any(isinstance(values[0], dict) for values in columns.values() if values):
        raise InvalidSetting("--top needs an output of class scores", got=f"outputs {list(answer.columns)}")
    records = []
    for row in range(answer.rows):
        error = answer.errors.get(row)
        record = {name: values[row] for name, values in columns.items()}
        records.append({"error": error.message} if error else record)
    return records


def best(scores: np.ndarray[Any, Any], labels: tuple[str, ...] | None, top: int) -> dict[str, float]:
    """The `top` highest scores by label, or by index where there are no labels; highest first, ties by index."""
    order = np.argsort(-scores, kind="stable")[:top]
    return {labels[i] if labels else str(i): float(scores[i]) for i in order.tolist()}


def _read(data: str, fmt: str | None) -> object:
    if data == "-":
        return parse_json(sys.stdin.buffer.read(), "standard input")
    if fmt is None and not Path(data).exists() and data.lstrip()[:1] in ("[", "{", '"'):
        return parse_json(data.encode(), "DATA")
    if not Path(data).exists():
        raise InvalidInput("there is no such file", where=data, fix="give a file, - or JSON such as '[[1, 2]]'")
    return read(Path(data), fmt)


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
        return ", ".join(f"{name} {score:.3f}" for name, score in value.items())
    return value
