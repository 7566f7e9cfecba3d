"""Lines that a stream writes: results, and dead letters."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from foretell.columns import Batch
from foretell.errors import RowError
from foretell.events.planning import ROW
from foretell.forms.cells import plain_value
from foretell.forms.plain import plain, readable
from foretell.forms.texts import Texts, json_lines, json_texts
from foretell.forms.top import best
from foretell.types import ModelSpec

_MOST_BYTES = 2**16
"""Of the text of an event in its dead letter."""
_CHARACTER_BYTES = 4
"""At most, in UTF-8."""


def result_lines(
    rows: Sequence[Mapping[str, Any]], first_row: int, numbers: Sequence[int], answer: Batch, keys: Sequence[str],
    spec: ModelSpec, top: int | None,
) -> bytes:  # fmt: skip
    """The key and the outputs of each event that has an answer, as a job writes them. `numbers`: of these events among
    `rows`; `answer`: theirs alone."""
    table: dict[str, Texts] = {}
    for key in keys:
        table[key] = json_texts(plain([rows[number].get(key) for number in numbers]))
    if not keys:
        table[ROW] = [str(first_row + number).encode() for number in numbers]
    for name, column in best(answer, spec, top).columns.items():
        table[name] = json_texts(readable(name, column, spec))
    return json_lines(table, len(numbers))


def dead_letter(
    error: RowError, place: Mapping[str, Any], row: int, key: Mapping[str, Any], text: bytes
) -> dict[str, Any]:
    """What is told of an event that has no answer: why, where it stands, and its text as far as 64 KiB."""
    told: dict[str, Any] = {"code": error.code, "message": error.message, "attempts": error.attempts, **place, ROW: row}
    if key:
        told["key"] = {name: plain_value(value) for name, value in key.items()}
    kept = text[:_MOST_BYTES]
    if len(text) > len(kept):
        told["bytes"] = len(text)
    try:
        told["text"] = kept.decode()
    except UnicodeDecodeError as wrong:
        if len(text) > len(kept) and wrong.start > len(kept) - _CHARACTER_BYTES:  # cut in the middle of a character
            told["text"] = kept[: wrong.start].decode()
        else:
            told["base64"] = base64.b64encode(kept).decode()
    return told


def letter_line(letter: Mapping[str, Any]) -> bytes:
    """A line of the file of dead letters."""
    return orjson.dumps(letter, default=str) + b"\n"


def error_line(letter: Mapping[str, Any]) -> bytes:
    """A line among the results."""
    return b'{"error":' + orjson.dumps(letter, default=str) + b"}\n"
