"""JSON Lines: one object a line. A field that a line has not is null; lists are vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from foretell.batch.block import Cells
from foretell.batch.sources.marks import MOST_RECORD_BYTES
from foretell.batch.sources.record_files import CellKind, Parsed, RecordsSource, Sampled
from foretell.batch.sources.records import Records, find_records
from foretell.batch.sources.typed import named, whole
from foretell.errors import InvalidInput

_SAMPLE_BYTES = 2**18
_BOM = b"\xef\xbb\xbf"
_SCALARS = {int, float, type(None)}
_ALLOWED: Mapping[CellKind, frozenset[type]] = {
    "float": frozenset({int, float, list, type(None)}),
    "int": frozenset({int, float, list, type(None)}),
    "uint": frozenset({int, float, list, type(None)}),
    "text": frozenset({str, list, type(None)}),
    "flag": frozenset({bool, list, type(None)}),
}
_WORDS = {bool: "a boolean", int: "a number", float: "a number", str: "a string", dict: "an object", list: "a list",
          type(None): "null"}  # fmt: skip
_WANTED = {"float": "a number", "int": "an integer", "uint": "an integer", "text": "a string", "flag": "a boolean"}


class JsonLinesSource(RecordsSource):
    """The columns are the fields that the first 256 KiB of the files have, in order of appearance."""

    def sample(self) -> Sampled:
        names: dict[str, None] = {}
        kinds = []
        for number in range(len(self.files)):
            rows = self._sampled_rows(number) if number not in self.broken else []
            fields = dict.fromkeys(name for row in rows for name in row)
            kinds.append({name: _kind_of([row.get(name) for row in rows]) for name in fields})
            names |= fields
        return Sampled(tuple(names), tuple(kinds))

    def check(self, columns: Sequence[str]) -> None:
        super().check(columns)
        for name in columns:
            known = [file for file, kinds in zip(self.files, self.sampled.kinds, strict=True) if name in kinds]
            for file, kinds in zip(self.files, self.sampled.kinds, strict=True):
                if kinds and name not in kinds:
                    raise InvalidInput(f"field {name!r} is in none of the first lines", where=file.path,
                                       expected=f"the fields of {known[0].path}" if known else "",
                                       fix="leave the file out, or score it by itself")  # fmt: skip

    def begin(self, file: int) -> tuple[int, int]:
        with self.open(file) as stream:
            return len(_BOM) if stream.read(len(_BOM)) == _BOM else 0, 0

    def find(self, data: bytes, final: bool) -> Records:
        return find_records(data, final=final, delimiter=None)

    def parse(self, data: bytes, records: Records, columns: Mapping[str, CellKind], file: int) -> Parsed:
        rows, bad = _objects(data, records)
        made: dict[str, Cells] = {}
        for name, kind in columns.items():
            made[name], wrong = _typed([row.get(name) for row in rows], kind)
            bad = {**named(name, wrong), **bad}
        return Parsed(made, bad)

    def _sampled_rows(self, number: int) -> list[dict[str, Any]]:
        file = self.files[number]
        with self.open(number) as stream:
            stream.seek(self.begin(number)[0])
            data = stream.read(_SAMPLE_BYTES)
            while not (records := self.find(data, len(data) < _SAMPLE_BYTES)).ends.size and len(data) >= _SAMPLE_BYTES:
                more = stream.read(len(data)) if len(data) <= MOST_RECORD_BYTES else b""
                if not more:
                    break
                data += more
        rows, bad = _objects(data, records)
        good = [row for at, row in enumerate(rows) if at not in bad]
        if rows and not good:
            line = data.count(b"\n", 0, int(records.row_starts[0])) + 1
            raise InvalidInput(bad[0], where=f"{file.path}, line {line}", expected="one JSON object in each line")
        return good


def _objects(data: bytes, records: Records) -> tuple[list[dict[str, Any]], dict[int, str]]:
    rows: list[dict[str, Any]] = []
    bad: dict[int, str] = {}
    for start, stop in zip(records.row_starts.tolist(), records.row_ends.tolist(), strict=True):
        try:
            value = orjson.loads(memoryview(data)[start:stop])
        except orjson.JSONDecodeError as error:
            bad[len(rows)], value = f"not valid JSON: {error.msg}", {}
        if not isinstance(value, dict):
            bad[len(rows)], value = f"expected an object, got {_WORDS[type(value)]}", {}
        rows.append(value)
    return rows, bad


def _typed(cells: list[Any], kind: CellKind) -> tuple[Cells, dict[int, str]]:
    """The cells as NumPy arrays where all are single numbers, else as they are; and what is wrong with some."""
    allowed = _ALLOWED.get(kind)
    if allowed is None:
        return cells, {}
    found = set(map(type, cells))
    bad: dict[int, str] = {}
    if not found <= allowed:
        wrong = {row: type(cell) for row, cell in enumerate(cells) if type(cell) not in allowed}
        bad = {row: f"expected {_WANTED[kind]}, got {_WORDS[kind_]}" for row, kind_ in wrong.items()}
        cells = [None if row in bad else cell for row, cell in enumerate(cells)]
        found = set(map(type, cells))
    if kind == "float" and found <= _SCALARS:
        return np.array(cells, np.float64), bad
    if kind in ("int", "uint") and found <= _SCALARS:
        made, wrong_numbers = _integers(cells, kind)
        return made, {**wrong_numbers, **bad}
    return cells, bad


def _integers(cells: list[Any], kind: str) -> tuple[Cells, dict[int, str]]:
    dtype = np.int64 if kind == "int" else np.uint64
    values = [None if cell is None else whole(cell, kind) for cell in cells]
    bad = {row: value for row, value in enumerate(values) if isinstance(value, str)}
    made = np.array([value if isinstance(value, int) else 0 for value in values], dtype)
    absent = np.array([value is None for value in values], np.bool_)
    return (np.ma.MaskedArray(made, absent) if absent.any() else made), bad


def _kind_of(cells: Sequence[Any]) -> str:
    """Of a sample: what nearly all cells are that are no null."""
    kinds = [type(cell) for cell in cells if cell is not None]
    if not kinds:
        return "unknown"
    most = len(kinds) * 9
    numbers = kinds.count(int) + kinds.count(float)
    if numbers * 10 >= most:
        return "int" if kinds.count(int) == numbers else "float"
    return "text" if kinds.count(str) * 10 >= most else "other"
