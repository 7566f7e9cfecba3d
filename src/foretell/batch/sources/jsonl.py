"""JSON Lines: one object a line. A field that a line has not is null; lists are vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from foretell.batch.sources.csv_arrow import text_cells
from foretell.batch.sources.marks import MOST_RECORD_BYTES
from foretell.batch.sources.record_files import Parsed, RecordsSource, Sampled
from foretell.batch.sources.records import Records, find_records
from foretell.errors import InvalidInput
from foretell.forms.cells import CellKind, Cells
from foretell.forms.json_cells import as_texts, objects, sampled_kind, typed
from foretell.forms.mistaken import check_text
from foretell.forms.typed import named

_SAMPLE_BYTES = 2**18
_BOM = b"\xef\xbb\xbf"


class JsonLinesSource(RecordsSource):
    """The columns are the fields that the first 256 KiB of the files have, in order of appearance. A key is what it is
    in each line; with the option `text_keys`, text."""

    known_options: ClassVar[tuple[str, ...]] = ("text_keys",)

    def sample(self) -> Sampled:
        names: dict[str, None] = {}
        kinds = []
        for number in range(len(self.files)):
            rows = self._sampled_rows(number) if number not in self.broken else []
            fields = dict.fromkeys(name for row in rows for name in row)
            kinds.append({name: sampled_kind([row.get(name) for row in rows]) for name in fields})
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

    def empty(self, name: str) -> Cells | None:
        if self._is_text(name):
            return text_cells([])
        if name in self._tensors:
            return typed([], self.kind(name))[0]
        known = self.sampled.kind(name)
        return None if known in ("other", "unknown") else null_cells(0, known)

    def begin(self, file: int) -> tuple[int, int]:
        with self.open(file) as stream:
            return len(_BOM) if stream.read(len(_BOM)) == _BOM else 0, 0

    def find(self, data: bytes, final: bool) -> Records:
        return find_records(data, final=final, delimiter=None)

    def parse(self, data: bytes, records: Records, columns: Mapping[str, CellKind], file: int) -> Parsed:
        rows, bad = objects(_lines(data, records))
        made: dict[str, Cells] = {}
        for name, kind in columns.items():
            cells = [row.get(name) for row in rows]
            if self._is_text(name):
                texts, wrong = as_texts(cells)
                made[name], bad = text_cells(texts), {**named(name, wrong), **bad}
                continue
            if name not in self._tensors and not any(cell is not None for cell in cells):
                made[name] = null_cells(len(cells), self.sampled.kind(name))
                continue
            made[name], wrong = typed(cells, kind)
            bad = {**named(name, wrong), **bad}
        return Parsed(made, bad)

    def _is_text(self, name: str) -> bool:
        return bool(self.options.get("text_keys")) and name not in self._tensors

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
        rows, bad = objects(_lines(data, records))
        good = [row for at, row in enumerate(rows) if at not in bad]
        if rows and not good:
            check_text(data, f"{file.path}, line 1", "JSON Lines")
            line = data.count(b"\n", 0, int(records.row_starts[0])) + 1
            raise InvalidInput(bad[0], where=f"{file.path}, line {line}", expected="one JSON object in each line")
        return good


def null_cells(count: int, kind: str) -> Cells:
    """So many nulls of a key, of the type that it has elsewhere, wherever there is pyarrow: all parts of a job have it.

    `kind`: of the cells that the files begin with.
    """
    try:
        import pyarrow as pa
    except ImportError:
        return [None] * count
    types = {"int": pa.int64(), "float": pa.float64(), "flag": pa.bool_(), "text": pa.string()}
    return pa.nulls(count, types[kind]) if kind in types else [None] * count


def _lines(data: bytes, records: Records) -> Iterator[memoryview]:
    view = memoryview(data)
    for start, stop in zip(records.row_starts.tolist(), records.row_ends.tolist(), strict=True):
        yield view[start:stop]
