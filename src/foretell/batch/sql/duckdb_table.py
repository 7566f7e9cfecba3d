"""A table of DuckDB, which reads the parts itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from foretell.batch.sql.address import Database
from foretell.batch.sql.duckdb_rows import duckdb, settings
from foretell.batch.sql.names import TableName, quoted
from foretell.batch.sql.tables import Columns, Tables
from foretell.errors import InferenceError, InvalidInput, Unavailable


@contextlib.contextmanager
def duckdb_table(database: Database, name: TableName, *, writes: bool) -> Iterator[Tables | None]:
    driver = duckdb("writing to DuckDB")
    path = Path(database.path)
    if not writes and not path.exists():
        yield None
        return
    with settings() as config:
        try:
            with contextlib.closing(driver.connect(str(path), read_only=not writes, config=config)) as connection:
                connection.begin()
                yield _DuckDBTables(connection, name)
                connection.commit()  # what is not committed is gone with the connection
        except driver.Error as error:
            raise _told(error, database, name) from None


class _DuckDBTables(Tables):
    def __init__(self, connection: Any, name: TableName) -> None:
        super().__init__(name)
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._connection.execute(statement, list(values)).fetchall()
        return found

    def missing(self) -> str:
        found = self.execute("select 1 from information_schema.schemata where catalog_name = current_database() "
                             "and lower(schema_name) = lower(?)", [self.name.schema or "main"])  # fmt: skip
        return "" if found else "there is no such schema"

    def is_there(self, quoted_name: str) -> bool:
        table = self.name.table if quoted_name == self.name.quoted else quoted_name.rpartition(".")[2].strip('"')
        where = "lower(table_name) = lower(?) and lower(table_schema) = lower(coalesce(?, current_schema()))"
        found = self.execute("select 1 from information_schema.tables where table_catalog = current_database() and "
                             + where, [table, self.name.schema or None])  # fmt: skip
        return bool(found)

    def columns(self, schema: Any) -> Columns:
        return [(field.name, self._kind(field)) for field in schema]

    def insert(self, files: Sequence[str], columns: Columns) -> None:
        names = ", ".join(quoted(name) for name, _ in columns)
        self.execute(f"insert into {self.name.quoted} ({names}) select {names} from read_parquet(?)", [list(files)])

    def _kind(self, field: Any) -> str:
        import pyarrow as pa

        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        depth = 0
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kind, depth = kind.value_type, depth + 1
        if (pa.types.is_decimal(kind) and kind.precision <= 38) or str(kind) in _KINDS:
            plain = f"decimal({kind.precision}, {kind.scale})" if pa.types.is_decimal(kind) else _KINDS[str(kind)]
            return plain + "[]" * depth
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            return "timestamptz" + "[]" * depth
        raise InvalidInput(f"column {field.name!r} has a type that DuckDB has no other for", got=field.type,
                           where=f"table {self.name}", fix="write Parquet instead")  # fmt: skip


_KINDS = {
    "int8": "tinyint", "int16": "smallint", "int32": "integer", "int64": "bigint",
    "uint8": "utinyint", "uint16": "usmallint", "uint32": "uinteger", "uint64": "ubigint",
    "halffloat": "real", "float": "real", "double": "double", "bool": "boolean",
    "string": "text", "large_string": "text", "binary": "blob", "large_binary": "blob", "null": "text",
    "date32[day]": "date", "time32[ms]": "time", "time64[us]": "time", "time64[ns]": "time",
    "timestamp[s]": "timestamp", "timestamp[ms]": "timestamp", "timestamp[us]": "timestamp",
    "timestamp[ns]": "timestamp_ns",
}  # fmt: skip


def _told(error: Exception, database: Database, name: TableName) -> InferenceError:
    said = " ".join(line.strip() for line in str(error).strip().splitlines()[:2] if line.strip())
    where = f"{database.shown}, table {name}"
    if "Could not set lock" in said:
        fix = "run the same command again once that has ended: it goes on where it stopped"
        return Unavailable("the database is locked by another process", where=where, fix=fix)
    return Unavailable(f"the table cannot be written: {said}", where=where)
