"""CSV files with a header line, whatever stands between their cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from foretell.batch.shards import InputFile
from foretell.batch.sources.csv_arrow import columns_of, text_cells
from foretell.batch.sources.csv_cells import NotCsv, cells_of, column, split
from foretell.batch.sources.marks import MOST_RECORD_BYTES
from foretell.batch.sources.record_files import Parsed, RecordsSource, Sampled
from foretell.batch.sources.records import Records, find_records
from foretell.batch.sources.source import Field, same_fields, unreadable
from foretell.errors import InvalidInput
from foretell.forms.cells import CellKind, Cells
from foretell.forms.files import check_header
from foretell.forms.mistaken import check_text
from foretell.forms.typed import flags, floats, integers, kind_of, named, texts

_SAMPLE_BYTES, _SMALL_SAMPLE_BYTES = 2**16, 2**12
_WELL_KNOWN = 16
"""Files of which a large sample is looked at: what the cells of a thousand are would take ten seconds."""
_MOST_HEADS = 64
_BOM = b"\xef\xbb\xbf"
_MARKS = (",", ";", "\t", "|")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_MOST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class _Head:
    names: tuple[str, ...]
    offset: int
    lines: int


class CsvSource(RecordsSource):
    """Cells are read as `forms.files` reads them: text as it stands there, numbers as Python reads them, words for
    booleans as those, and as 1 and 0 among numbers; empty is null.

    Columns that are inputs have the type that the model takes. All others, such as keys, are text; so "007" stays
    "007".
    """

    usual_delimiter: ClassVar[str] = ","
    cells_are_text: ClassVar[bool] = True
    known_options: ClassVar[tuple[str, ...]] = ("delimiter",)

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        super().__init__(files, options)
        self.delimiter = str(options.get("delimiter", self.usual_delimiter)).encode()
        self._heads: dict[int, _Head] = {}
        self._in_words = set[str]()

    def sample(self) -> Sampled:
        first, kinds, examples = self.whole[0], list[dict[str, str]](), dict[str, str]()
        names = self._head(first).names
        for number, file in enumerate(self.files):
            if number in self.broken:
                kinds.append({})
                continue
            head = self._head(number)
            fields = [tuple(Field(name, "text") for name in each) for each in (names, head.names)]
            same_fields(fields[0], self.files[first].path, fields[1], file.path)
            cells = self._sampled_cells(number, head)
            kinds.append({name: kind_of(each) for name, each in cells.items()})
            if number == first:
                examples = {name: _example(each) for name, each in cells.items() if kinds[-1][name] == "text"}
        return Sampled(names, tuple(kinds), examples)

    def begin(self, file: int) -> tuple[int, int]:
        head = self._head(file)
        return head.offset, head.lines

    def find(self, data: bytes, final: bool) -> Records:
        return self._find(data, final, len(self._head(self.whole[0]).names))

    def parse(self, data: bytes, records: Records, columns: Mapping[str, CellKind], file: int) -> Parsed:
        names = self._head(file).names
        made = columns_of(data, records, names, columns, self.delimiter, self._in_words)
        if made is not None:
            return Parsed(made)
        rows, bad = cells_of(data, records, len(names), self.delimiter)
        columns_read: dict[str, Cells] = {}
        for name, kind in columns.items():
            cells = column(rows, names.index(name))
            columns_read[name], wrong = self._typed(cells, kind)
            bad = {**named(name, wrong), **bad}
        return Parsed(columns_read, bad)

    def empty(self, name: str) -> Cells:
        return self._typed([], self.kind(name))[0]

    def _typed(self, cells: list[bytes], kind: CellKind) -> tuple[Cells, dict[int, str]]:
        if kind == "float":
            return floats(cells)
        if kind in ("int", "uint"):
            return integers(cells, kind)
        if kind == "flag":
            return flags(cells)
        read, bad = texts(cells)
        return text_cells(read), bad

    def _find(self, data: bytes, final: bool, width: int) -> Records:
        return find_records(data, final=final, delimiter=self.delimiter, keep_blank=width == 1)

    def _head(self, number: int) -> _Head:
        if number not in self._heads:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            try:
                self._heads[number] = self._read_head(number)
            except InvalidInput as error:
                raise unreadable(number, error) from None
        return self._heads[number]

    def _read_head(self, number: int) -> _Head:
        file = self.files[number]
        with self.open(number) as stream:
            start = len(_BOM) if stream.read(len(_BOM)) == _BOM else 0
            stream.seek(start)
            data = stream.read(_SAMPLE_BYTES)
            check_text(data, f"{file.path}, line 1", "CSV")
            while not (records := self._find(data, not stream.peek(1), 1)).ends.size and data:
                more = stream.read(len(data)) if len(data) <= MOST_RECORD_BYTES else b""
                if not more:
                    raise InvalidInput("the header line does not end", where=f"{file.path}, line 1")
                data += more
        stop = int(records.ends[0]) if records.ends.size else 0
        record = data[:stop]
        where = f"{file.path}, line 1"
        try:
            names = [cell.decode() for cell in split(record, self.delimiter)] if record.strip(b"\r\n") else []
        except UnicodeDecodeError:
            raise InvalidInput("not UTF-8 text", where=where, fix="save it as UTF-8") from None
        except NotCsv as error:
            raise InvalidInput(str(error), where=where) from None
        self._check_first(names, data[stop:], where)
        check_header(names, where)
        return _Head(tuple(names), start + stop, data.count(b"\n", 0, stop))

    def _check_first(self, names: Sequence[str], rest: bytes, where: str) -> None:
        """Raises `InvalidInput` for an empty line where the header belongs, and for one that other marks cut."""
        if not names and rest.strip():
            raise InvalidInput("the first line is empty", where=where, expected="a header line of distinct names")
        if names and names[0].startswith("sep="):
            what = "the first line tells Excel what stands between the cells"
            raise InvalidInput(what, where=where, fix="take it out, and say --delimiter")
        if len(names) != 1:
            return
        row = rest.partition(b"\n")[0].decode("utf-8", "replace")
        for mark in _MARKS:
            if mark.encode() != self.delimiter and 0 < names[0].count(mark) == row.count(mark):
                fix = "name it .tsv, or say --delimiter tab" if mark == "\t" else f"say --delimiter '{mark}'"
                raise InvalidInput("the cells are separated by another mark", where=where,
                                   expected=repr(self.delimiter.decode()), got=repr(mark), fix=fix)  # fmt: skip

    def _sampled_cells(self, number: int, head: _Head) -> dict[str, list[str]]:
        most = _SAMPLE_BYTES if number < _WELL_KNOWN else _SMALL_SAMPLE_BYTES
        with self.open(number) as stream:
            stream.seek(head.offset)
            data = stream.read(most)
        records = self._find(data, len(data) < most, len(head.names))
        whole = int(records.ends[-1]) if len(records.ends) else 0
        rows, bad = cells_of(data[:whole], records, len(head.names), self.delimiter)
        good = [row for at, row in enumerate(rows) if at not in bad]
        return {name: [cell.decode("utf-8", "replace") for cell in column(good, at)]
                for at, name in enumerate(head.names)}  # fmt: skip


def _example(cells: Sequence[str]) -> str:
    """The first cell that is text, for people; a comma in it may be meant for a decimal point."""
    cell = next(cell for cell in cells if kind_of([cell]) == "text")
    shown = repr(cell if len(cell) <= _MOST_SHOWN else f"{cell[:_MOST_SHOWN]} ...")
    return f"{shown}, where numbers have a decimal point" if _DECIMAL_COMMA.fullmatch(cell.strip()) else shown


class TsvSource(CsvSource):
    """The same with tabs between the cells."""

    usual_delimiter: ClassVar[str] = "\t"
