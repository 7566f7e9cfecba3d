"""Files of text that grow row by row: what CSV and JSON Lines have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from foretell.batch.block import Scored
from foretell.batch.sinks.sink import Part, Sink
from foretell.columns import Bytes
from foretell.errors import InvalidInput, ModelError
from foretell.forms.plain import Plain, plain, readable
from foretell.forms.texts import Texts

Table = dict[str, Texts]


class LinesSink(Sink):
    """A header, if the format has one, and then rows. The metadata has no place in such files."""

    @abstractmethod
    def table(self, scored: Scored) -> Table:
        """The rows as texts, by column."""

    @abstractmethod
    def header(self, names: tuple[str, ...]) -> bytes:
        """What stands above the rows."""

    @abstractmethod
    def lines(self, table: Table, rows: int) -> bytes:
        """The rows as they stand in the file."""

    def part(self, path: Path) -> Part:
        return LinesPart(path, self)

    def named_cells(self, scored: Scored) -> Iterator[tuple[str, Plain]]:
        """Every column of the output, in order: the key, the answer, the stamp."""
        self.check_names(scored)
        for name, cells in scored.keys.items():
            with is_text(name):
                key = plain(cells)
            yield name, key
        for name, column in scored.answer.columns.items():
            yield name, readable(name, column, self.spec)
        for name, value in self.stamp.items():
            yield name, Bytes.of([value] * scored.rows)


class LinesPart(Part):
    """One file; nothing is held back between writes."""

    def __init__(self, path: Path, sink: LinesSink) -> None:
        self._path, self._sink = path, sink
        self._file: BinaryIO | None = None
        self._names: tuple[str, ...] = ()

    def write(self, scored: Scored) -> None:
        """Raises `InvalidInput` for bytes that are no text, `ModelError` where the columns are others than before."""
        table = self._sink.table(scored)
        names = tuple(table)
        if self._file is None:
            self._file, self._names = self._path.open("wb"), names
            self.schema = ", ".join(names)
            self._file.write(self._sink.header(names))
        elif names != self._names:
            what = "the model changed its outputs between calls"
            raise ModelError(what, expected=", ".join(self._names), got=", ".join(names))
        if scored.rows:
            self._file.write(self._sink.lines(table, scored.rows))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextmanager
def is_text(name: str) -> Iterator[None]:
    """Raises `InvalidInput` where a column turns out to hold bytes that no text can hold."""
    try:
        yield
    except UnicodeError:
        raise InvalidInput(f"column {name!r} holds bytes that are no UTF-8 text",
                           fix="write Parquet, which can hold them") from None  # fmt: skip
