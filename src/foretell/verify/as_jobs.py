"""The third door and the fourth: `foretell score` and `foretell stream` as processes of their own, over JSON Lines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from foretell.columns import Array, Batch, Bytes, Column, Dense, Index, Ragged
from foretell.errors import InvalidInput, ModelError, RowError
from foretell.forms.values import to_python
from foretell.types import DataType, ModelSpec, TensorSpec
from foretell.verify.asked import Asked
from foretell.verify.compare import Answered

_START = "import sys; from foretell.cli import main; sys.exit(main())"
_ROW = "foretell_row"
_DONE = (0, 3)
_TIMEOUT_S = 3600.0
_LAST_WORDS = 600


def as_batch(asked: Asked, data: Path, reference: Batch, spec: ModelSpec) -> Iterator[tuple[str, Answered]]:
    """A job as it is by default: it tunes the size of its calls by itself, and has a process for each core."""
    out = data.with_name("batch.jsonl")
    answer_of(["score", asked.words, str(data), "-o", str(out), "--key", _ROW, "--max-quarantined", "1000000",
               *asked.flags])  # fmt: skip
    yield "as it is", _read(out, reference, spec)


def as_stream(asked: Asked, data: Path, reference: Batch, spec: ModelSpec) -> Iterator[tuple[str, Answered]]:
    """A stream from file to file, to the end of what is there."""
    out = data.with_name("stream.jsonl")
    answer_of(["stream", asked.words, "--source", str(data), "--sink", str(out), "--once", "--key", _ROW, *asked.flags])
    yield "file to file", _read(out, reference, spec)


def write_rows(rows: Batch, path: Path, spec: ModelSpec | None = None, *, numbered: bool = True) -> None:
    """One JSON object a line: each input under its name, beside the number of the row if wanted. `spec` tells which of
    them are BF16, whose bits are written as the numbers they mean."""
    tensors = {tensor.name: tensor.datatype for tensor in (spec.inputs if spec else None) or ()}
    columns = {name: to_python(column, tensors.get(name)) for name, column in rows.columns.items()}
    with path.open("wb") as file:
        for row in range(rows.rows):
            number = {_ROW: row} if numbered else {}
            values = {**number, **{name: column[row] for name, column in columns.items()}}
            file.write(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")


def answer_of(words: Sequence[str]) -> bytes:
    """What a command prints. Raises `ModelError` where it does not end well."""
    command = [sys.executable, "-c", _START, *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode not in _DONE:
        last = " ".join(done.stderr.decode("utf-8", "replace").split())[-_LAST_WORDS:]
        raise ModelError(f"foretell {words[0]} ended with {done.returncode}; its last words: {last}", where="verify")
    return done.stdout


def _read(path: Path, reference: Batch, spec: ModelSpec) -> list[tuple[Index, Batch]]:
    """One call for all lines that are there; the rows that are not failed."""
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    rows = np.array([line[_ROW] for line in lines], np.int64)
    if len(set(rows.tolist())) != len(rows):
        raise ModelError("a row was answered twice", where=str(path))
    answers = Batch({name: _column(name, column, spec.output(name), lines, rows)
                     for name, column in reference.columns.items()}, len(lines))  # fmt: skip
    missing = np.setdiff1d(np.arange(reference.rows), rows)
    error = RowError(InvalidInput.code, "no answer")
    return [(rows, answers), (missing, Batch({}, len(missing), dict.fromkeys(range(len(missing)), error)))]


def _column(
    name: str, expected: Column, tensor: TensorSpec | None, lines: Sequence[Mapping[str, Any]], rows: Index
) -> Column:
    """What the lines hold of an output, in the type that the reference has. Rows of one value stand there as that
    value."""
    values = [line.get(name) for line in lines]
    if not isinstance(expected, Ragged) and expected.row_shape == (1,):
        values = [value if isinstance(value, list) else [value] for value in values]
    if isinstance(expected, Bytes) or (isinstance(expected, Ragged) and isinstance(expected.values, Bytes)):
        return _texts(values)
    inner = expected.values if isinstance(expected, Ragged) else expected
    if not isinstance(inner, Dense):
        raise TypeError(name)
    halves = tensor is not None and tensor.datatype is DataType.BF16
    arrays = [_bits(value) if halves else _numbers(value, inner.data.dtype) for value in values]
    shapes = {array.shape for array in arrays}
    if len(shapes) == 1:
        return Dense(np.stack(arrays))
    offsets = np.cumsum([0, *[len(array) if array.ndim else 1 for array in arrays]])
    return Ragged(Dense(np.concatenate([np.atleast_1d(array) for array in arrays])), offsets)


def _numbers(value: Any, dtype: np.dtype[Any]) -> Array:
    """JSON has no NaN: a null among numbers is one."""
    array = np.array(value, object)
    if dtype.kind == "f":
        array[array == None] = np.nan  # noqa: E711 (element by element)
    return array.astype(dtype)


def _bits(value: Any) -> Array:
    """Of BF16, whose numbers are those of 32 bits with zeros behind."""
    return (_numbers(value, np.dtype(np.float32)).view(np.uint32) >> 16).astype(np.uint16)


def _texts(values: Sequence[Any]) -> Column:
    if all(isinstance(value, str) for value in values):
        return Bytes.of(list(values), ())
    inner = [list(np.array(value, object).reshape(-1)) for value in values]
    shapes = {np.array(value, object).shape for value in values}
    if len(shapes) == 1:
        return Bytes.of([text for row in inner for text in row], next(iter(shapes)))
    return Ragged(Bytes.of([text for row in inner for text in row], ()), np.cumsum([0, *map(len, inner)]))
