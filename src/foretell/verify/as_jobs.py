"""The third door and the fourth: `foretell score` and `foretell stream` as processes of their own, over JSON Lines."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from foretell.columns import Array, Batch, Bytes, Column, Dense, Index, Ragged
from foretell.compare import Answered, values_of
from foretell.errors import InvalidInput, ModelError, RowError
from foretell.forms.values import to_python
from foretell.types import ModelSpec
from foretell.verify.asked import Asked

_START = "import sys; from foretell.cli import main; sys.exit(main())"
_ROW = "foretell_row"
_DONE = (0, 3)
_TIMEOUT_S = 3600.0
_LAST_WORDS = 600
_KINDS: dict[str, set[type]] = {"f": {float, type(None)}, "i": {int}, "u": {int}, "b": {bool}}
"""What JSON has for the kinds of NumPy."""


def as_batch(asked: Asked, data: Path, reference: Batch) -> Iterator[tuple[str, Answered]]:
    """A job as it is by default: it tunes the size of its calls by itself, and has a process for each core."""
    out = data.with_name("batch.jsonl")
    answer_of(["score", asked.words, str(data), "-o", str(out), "--key", _ROW, "--max-quarantined", "1000000",
               *asked.flags])  # fmt: skip
    yield "as it is", _read(out, data, reference)


def as_stream(asked: Asked, data: Path, reference: Batch) -> Iterator[tuple[str, Answered]]:
    """A stream from file to file, to the end of what is there."""
    out = data.with_name("stream.jsonl")
    answer_of(["stream", asked.words, "--source", str(data), "--sink", str(out), "--once", "--key", _ROW,
               "--max-line-bytes", str(max(2**20, data.stat().st_size)), *asked.flags])  # fmt: skip
    yield "file to file", _read(out, data, reference)


def write_rows(rows: Batch, path: Path, spec: ModelSpec | None = None, *, numbered: bool = True) -> int:
    """One JSON object a line: each input under its name, beside the number of the row if wanted. `spec` tells which of
    them are BF16, whose bits are written as the numbers they mean. Gives the number of lines: a row of which JSON has
    no form, for an infinity or for bytes that are no text, has none."""
    tensors = {tensor.name: tensor.datatype for tensor in (spec.inputs if spec else None) or ()}
    columns = {name: to_python(column, tensors.get(name)) for name, column in rows.columns.items()}
    lines = 0
    with path.open("wb") as file:
        for row in range(rows.rows):
            values = {name: column[row] for name, column in columns.items()}
            if not all(map(_has_json, values.values())):
                continue
            lines += 1
            file.write(orjson.dumps({**({_ROW: row} if numbered else {}), **values}) + b"\n")
    return lines


def is_text(column: Column) -> bool:
    """Whether it holds no bytes that are no text: of these, JSON has no form."""
    inner = column.values if isinstance(column, Ragged) else column
    return not isinstance(inner, Bytes) or all(map(_has_json, to_python(inner)))


def _has_json(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_has_json, value))
    return not isinstance(value, bytes) and not (isinstance(value, float) and math.isinf(value))


def answer_of(words: Sequence[str]) -> bytes:
    """What a command prints. Raises `ModelError` where it does not end well."""
    command = [sys.executable, "-c", _START, *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode not in _DONE:
        last = " ".join(done.stderr.decode("utf-8", "replace").split())[-_LAST_WORDS:]
        raise ModelError(f"foretell {words[0]} ended with {done.returncode}; its last words: {last}", where="verify")
    return done.stdout


def _read(path: Path, data: Path, reference: Batch) -> list[tuple[Index, Batch]]:
    """One call for all lines that are there; the rows that are not failed."""
    asked, lines = ([orjson.loads(line) for line in file.read_bytes().splitlines()] for file in (data, path))
    rows = np.array([line[_ROW] for line in lines], np.int64)
    if len(set(rows.tolist())) != len(rows):
        raise ModelError("a row was answered twice", where=str(path))
    missing = np.setdiff1d([line[_ROW] for line in asked], rows)
    failed = missing, Batch({}, len(missing), dict.fromkeys(range(len(missing)), RowError(InvalidInput.code, "none")))
    if not lines:
        return [failed]
    names = set(lines[0]).intersection(*lines) - {_ROW}
    others = {name: Dense(np.zeros(len(lines))) for name in names - set(reference.columns)}
    answers = {name: column_of(column.take(rows), [line[name] for line in lines])
               for name, column in reference.columns.items() if name in names}  # fmt: skip
    return [(rows, Batch({**answers, **others}, len(lines))), failed]


def column_of(expected: Column, values: Sequence[Any]) -> Column:
    """What lines hold of an output, in the type that was expected of it; what cannot have that type stays as it is.
    Rows of one value stand there as that value. JSON has neither NaN nor infinities: a null may be any of them."""
    inner = expected.values if isinstance(expected, Ragged) else expected
    if not isinstance(expected, Ragged) and expected.row_shape == (1,):
        values = [value if isinstance(value, list) else [value] for value in values]
    if isinstance(inner, Bytes):
        return _texts(values)
    rows = values_of(expected)
    found = [_numbers(value, inner.data.dtype, row) for value, row in zip(values, rows, strict=True)]
    valid = np.array([array is not None for array in found])
    blank = next((np.zeros_like(array) for array in found if array is not None), np.zeros(()))
    arrays = [blank if array is None else array for array in found]
    if len({array.shape for array in arrays}) == 1:
        return Dense(np.stack(arrays), None if valid.all() else valid)
    arrays = [np.atleast_1d(array) for array in arrays]
    return Ragged(Dense(np.concatenate(arrays)), np.cumsum([0, *map(len, arrays)]))


def _numbers(value: Any, dtype: np.dtype[Any], expected: Array | None) -> Array | None:
    """None for a null where there is no NaN."""
    array = np.array(value, object)
    kinds: set[type] = set(map(type, array.reshape(-1)))
    if not kinds <= _KINDS.get(dtype.kind, set()):
        return None if value is None else array
    gone = array == None  # noqa: E711 (element by element)
    array[gone] = np.nan
    try:
        made: Array = array.astype(dtype)
    except OverflowError:
        return array
    if expected is not None and expected.shape == made.shape:
        made = np.where(gone & np.isinf(expected), expected, made)
    return made


def _texts(values: Sequence[Any]) -> Column:
    if all(isinstance(value, str) for value in values):
        return Bytes.of(list(values), ())
    inner = [list(np.array(value, object).reshape(-1)) for value in values]
    if not all(text is None or isinstance(text, str) for row in inner for text in row):
        return Dense(np.array(inner, object))
    shapes = {np.array(value, object).shape for value in values}
    if len(shapes) == 1:
        return Bytes.of([text for row in inner for text in row], next(iter(shapes)))
    return Ragged(Bytes.of([text for row in inner for text in row], ()), np.cumsum([0, *map(len, inner)]))
