"""Reading a query once, into Parquet files that a job then reads as often as it must."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foretell.batch.sinks.parquet import writer_to
from foretell.batch.sql.address import Database, parse
from foretell.batch.sql.messages import Going, ReadQuery, Reply
from foretell.batch.sql.record import SPOOL, Retyped, Spool, SpoolFile
from foretell.batch.sql.rows import Dropped, Rows, StartOver, open_rows, ways
from foretell.batch.store import Store, open_store, told
from foretell.clock import Clock, SystemClock
from foretell.errors import Unavailable

_GROUP_ROWS, _GROUP_BYTES = 131_072, 16 * 2**20
_FILE_BYTES = 96 * 2**20
_TRIES = 4
_FIRST_WAIT_S = 0.5
_HASHED_AT_ONCE = 2**20


def spool(task: ReadQuery, tell: Callable[[Reply], None], clock: Clock | None = None) -> None:
    """Reads all rows in one go. What is there counts once its record is, which is written last; what a read before has
    left without one goes. Raises `InvalidInput`, `Unavailable`, `NoRoom`."""
    database = parse(task.address, task.place.folder)
    store, clock = open_store(task.store), clock or SystemClock()
    try:
        for attempt in range(_TRIES):
            try:
                _read(task, database, store, tell)
            except Dropped as error:
                if attempt + 1 == _TRIES:
                    raise Unavailable(error.what, where=database.shown, got=error.got, fix=error.fix) from None
                clock.sleep(_FIRST_WAIT_S * 2**attempt)
            else:
                return
    finally:
        store.close()


def _read(task: ReadQuery, database: Database, store: Store, tell: Callable[[Reply], None]) -> None:
    for way in ways(database):
        store.remove(task.folder)
        read_at = datetime.now(UTC).isoformat(timespec="seconds")
        with contextlib.suppress(StartOver), open_rows(way, database, task.query, task.keys) as rows:
            writing = _Writing(store, task.folder, rows.schema)
            try:
                _copy(rows, writing, tell)
                made = writing.record(database.shown, task.query, read_at)
            finally:
                writing.close()
            store.put(f"{task.folder}/{SPOOL}", made.encoded())
            return
    raise Unavailable("the types of the columns change from row to row", where=database.shown,
                      fix="cast them in the query")  # fmt: skip


def _copy(rows: Rows, writing: _Writing, tell: Callable[[Reply], None]) -> None:
    """In groups of a size that has nothing to do with the batches of the driver, while rows are small."""
    import pyarrow as pa

    held: list[Any] = []
    count = size = 0
    for batch in rows.batches:
        if held and batch.schema != held[0].schema:
            writing.add(pa.Table.from_batches(held))
            held, count, size = [], 0, 0
        while batch.num_rows:
            piece = batch.slice(0, _GROUP_ROWS - count)
            batch = batch.slice(piece.num_rows)
            held.append(piece)
            count, size = count + piece.num_rows, size + piece.nbytes
            if count == _GROUP_ROWS or size >= _GROUP_BYTES:
                writing.add(pa.Table.from_batches(held))
                held, count, size = [], 0, 0
                tell(Going(writing.rows))
    if held:
        writing.add(pa.Table.from_batches(held))


class _Writing:
    """Files of groups of rows. Another file begins where one is large, or the columns have other types."""

    def __init__(self, store: Store, folder: str, schema: Any) -> None:
        self._store, self._folder, self._schema = store, folder, schema
        self._files: list[SpoolFile] = []
        self._retyped: dict[str, Retyped] = {}
        self._path = store.scratch("spool.parquet")
        self._writer: Any = None
        self._in_file = 0
        self.rows = 0

    def add(self, table: Any) -> None:
        if table.schema != self._schema:
            self._end_file()
            for field in table.schema:
                if field.type != self._schema.field(field.name).type:
                    self._retyped[field.name] = Retyped(str(field.type), self.rows)
            self._schema = table.schema
        with told(self._path):
            self._begin_file()
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._in_file += table.num_rows
        self.rows += table.num_rows
        if self._path.stat().st_size >= _FILE_BYTES:
            self._end_file()

    def record(self, database: str, query: str, read_at: str) -> Spool:
        """Ends the last file. There is always one: it tells the columns."""
        if not self._files and self._writer is None:
            with told(self._path):
                self._begin_file()
        self._end_file()
        columns = [(field.name, str(field.type)) for field in self._schema]
        return Spool(database, query, read_at, self.rows, columns, self._files, self._retyped)

    def close(self) -> None:
        """Removes the file in the making."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _begin_file(self) -> None:
        if self._writer is None:
            self._writer = writer_to(self._path, self._schema)

    def _end_file(self) -> None:
        if self._writer is None:
            return
        with told(self._path):
            writer, self._writer = self._writer, None
            writer.close()
            digest, size = _digest(self._path), self._path.stat().st_size
        name = f"{len(self._files):05}-{digest[:16]}.parquet"
        self._store.add_file(self._path, f"{self._folder}/{name}")
        self._files.append(SpoolFile(name, self._in_file, size, f"sha256:{digest}"))
        self._in_file = 0


def _digest(path: Path) -> str:
    made = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_AT_ONCE):
            made.update(chunk)
    return made.hexdigest()
