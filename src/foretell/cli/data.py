"""What DATA on the command line means."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from foretell.columns import Batch, Dense
from foretell.errors import InvalidInput
from foretell.forms import Intake, to_batch
from foretell.forms.files import content_of, format_of, looks_like_json, parse, parse_json
from foretell.forms.images import Image, as_row
from foretell.types import ModelSpec

_LIST = """a JSON list such as '["some text"]' or '[[1, 2]]'"""


def read_data(data: str, fmt: str | None) -> object:
    """The value of a file, of standard input ("-") or of the JSON itself; an `Image` where the format is one.

    What the model takes decides whether an image goes in as its pixels or as it is, so that has to wait. Raises
    `InvalidInput`.
    """
    if data == "-":
        return _value(sys.stdin.buffer.read(), fmt or "json", "standard input")
    path = Path(data)
    if not data.strip():
        raise InvalidInput("DATA is empty", expected=f"a file, - for standard input, or {_LIST}")
    if fmt is None and looks_like_json(data) and not _exists(path):
        return parse_json(data.encode(), "DATA")
    if not _exists(path):
        raise InvalidInput("there is no such file, nor is this JSON", where=data,
                           fix=f"give a file, - for standard input, or {_LIST}")  # fmt: skip
    if path.is_dir():
        raise InvalidInput("this is a folder", where=data, expected="a file")
    kind = format_of(path, fmt)
    return _value(content_of(path), kind, data)


def to_intake(data: object, spec: ModelSpec, mapping: Mapping[str, Sequence[str]] | None) -> Intake:
    """The rows of what `read_data` gave; an image is a single row."""
    if not isinstance(data, Image):
        return to_batch(data, spec, mapping)
    intake = to_batch(as_row(data, spec), spec, mapping)
    return Intake(intake.batch, intake.form, True)


def rows_with_missing(batch: Batch, spec: ModelSpec) -> int:
    """How many rows have a NaN, as a null in a column of floats becomes, that reaches the model."""
    missing = np.zeros(batch.rows, np.bool_)
    for name, column in batch.columns.items():
        tensor = spec.input(name)
        taken = tensor is None or tensor.allow_nan
        if taken and isinstance(column, Dense) and column.data.dtype.kind == "f":
            missing |= np.isnan(column.data).any(axis=tuple(range(1, column.data.ndim)))
    return int(missing.sum())


def _value(content: bytes, kind: str, where: str) -> object:
    return Image(content, where) if kind == "image" else parse(content, kind, where)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, as a text may be
        return False
