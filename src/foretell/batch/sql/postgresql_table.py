"""A table of PostgreSQL: rows go there in binary, in one COPY."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from foretell.batch.sql.address import Database
from foretell.batch.sql.cells import batches, is_list, json_cells
from foretell.batch.sql.names import TableName
from foretell.batch.sql.postgresql_rows import postgresql, told
from foretell.batch.sql.tables import Columns, Tables
from foretell.errors import InferenceError, InvalidInput, Unavailable


@contextlib.contextmanager
def postgresql_table(database: Database, name: TableName) -> Iterator[Tables]:
    driver = postgresql("writing to PostgreSQL")
    try:
        with driver.connect(database.address) as connection, connection.cursor() as cursor:
            yield _PostgreSQLTables(cursor, name)
            connection.commit()  # what is not committed is gone with the connection
    except driver.Error as error:
        raise _told(error, database, name) from None


class _PostgreSQLTables(Tables):
    def __init__(self, cursor: Any, name: TableName) -> None:
        super().__init__(name)
        self._cursor = cursor

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._cursor.execute(statement, list(values) or None)
        found: list[tuple[Any, ...]] = self._cursor.fetchall() if self._cursor.description else []
        return found

    def mark(self, number: int) -> str:
        return f"${number}"

    def missing(self) -> str:
        statement = ("select has_schema_privilege(oid, 'create') from pg_namespace "
                     "where nspname = coalesce(nullif($1, ''), current_schema())")  # fmt: skip
        found = self.execute(statement, [self.name.schema])
        if not found:
            return "there is no such schema"
        return "" if found[0][0] else "no table may be made in the schema"

    def is_there(self, quoted_name: str) -> bool:
        return bool(self.execute("select 1 where to_regclass($1) is not null", [quoted_name]))

    def alone(self) -> None:
        self.execute(f"lock table {self.name.jobs} in exclusive mode")

    def columns(self, schema: Any) -> Columns:
        return [(field.name, _kind(field, str(self.name))[0]) for field in schema]

    def insert(self, files: Sequence[str], columns: Columns) -> None:
        import pyarrow as pa

        rows = batches(files)
        first = next(rows, None)
        if first is None:
            return
        kinds = [_kind(field, str(self.name))[1] for field in first.schema]
        schema = pa.schema([pa.field(name, kind) for (name, _), kind in zip(columns, kinds, strict=True)])

        def given() -> Iterator[Any]:
            for batch in chain([first], rows):
                yield _as(batch, schema)

        reader = pa.RecordBatchReader.from_batches(schema, given())
        self._cursor.adbc_ingest(self.name.table, reader, mode="append", db_schema_name=self.name.schema or None)


def _as(batch: Any, schema: Any) -> Any:
    import pyarrow as pa

    made = []
    for array, field in zip(batch.columns, schema, strict=True):
        if array.type == field.type:
            made.append(array)
        elif pa.types.is_string(field.type) and pa.types.is_nested(array.type):
            made.append(pa.array(json_cells(array), field.type))
        else:
            made.append(array.cast(field.type))
    return pa.record_batch(made, schema=schema)


def _kind(field: Any, table: str) -> tuple[str, Any]:
    """Its type there, and the type of Arrow that the driver writes for that."""
    import pyarrow as pa

    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if is_list(kind):
        inner = pa.field(field.name, kind.value_type)
        if pa.types.is_nested(kind.value_type):
            return "text", pa.string()  # arrays within arrays must all be of one length there
        name, made = _kind(inner, table)
        return f"{name}[]", pa.list_(made)
    if pa.types.is_decimal(kind):
        return "numeric", kind
    if pa.types.is_timestamp(kind):
        return ("timestamptz", pa.timestamp("us", "UTC")) if kind.tz else ("timestamp", pa.timestamp("us"))
    if pa.types.is_time(kind):
        return "time", pa.time64("us")
    known = _KINDS.get(str(kind))
    if known is None:
        raise InvalidInput(f"column {field.name!r} has a type that PostgreSQL has no other for", got=field.type,
                           where=f"table {table}", fix="write Parquet instead")  # fmt: skip
    return known[0], pa.type_for_alias(known[1])


_KINDS = {
    "int8": ("smallint", "int16"), "int16": ("smallint", "int16"), "int32": ("integer", "int32"),
    "int64": ("bigint", "int64"), "uint8": ("smallint", "int16"), "uint16": ("integer", "int32"),
    "uint32": ("bigint", "int64"), "uint64": ("bigint", "int64"), "halffloat": ("real", "float"),
    "float": ("real", "float"), "double": ("double precision", "double"), "bool": ("boolean", "bool"),
    "string": ("text", "string"), "large_string": ("text", "string"), "null": ("text", "string"),
    "binary": ("bytea", "binary"), "large_binary": ("bytea", "binary"), "date32[day]": ("date", "date32"),
}  # fmt: skip


def _told(error: Exception, database: Database, name: TableName) -> InferenceError:
    made, where = told(error, database), f"{database.shown}, table {name}"
    if not isinstance(made, InvalidInput):
        return Unavailable(made.what, where=where, got=made.got, fix=made.fix)
    found = re.search(r"(?:ERROR|FATAL):\s*([^\n]*)", str(error))
    return Unavailable(f"the table cannot be written: {found[1] if found else 'the driver says no more'}", where=where)
