"""The columns of a query as columns that Parquet and models know."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from foretell.errors import InvalidInput

Convert = Callable[[Any], Any]


def checked_names(names: Sequence[str], where: str) -> None:
    """Raises `InvalidInput` unless there are names, and each stands there once."""
    if not names:
        what = "the query gives no columns"
        raise InvalidInput(what, where=where, expected="a query that reads, such as select ... from ...")
    if twice := next((name for name in names if list(names).count(name) > 1), None):
        raise InvalidInput(f"the query gives two columns {twice!r}", where=where,
                           fix="name one of them otherwise: select ... as OTHER")  # fmt: skip


def no_reading(where: str) -> InvalidInput:
    """For a query that would change the database."""
    return InvalidInput("the query would do more than read", where=where, expected="one statement that only reads",
                        fix="write it as select ...")  # fmt: skip


def known_columns(schema: Any, keys: Sequence[str], where: str) -> tuple[Any, list[Convert | None]]:
    """The schema as it is written, and what makes each column fit it. Raises `InvalidInput` for a type that nothing
    can be done with."""
    import pyarrow as pa

    checked_names(schema.names, where)
    fields, made = [], []
    for field in schema:
        kind, convert = _known(field, keys, where)
        fields.append(pa.field(field.name, kind))
        made.append(convert)
        if not _is_writable(kind):
            raise _unknown(field, str(kind), where)
    return pa.schema(fields), made


def converted(batch: Any, schema: Any, converts: Sequence[Convert | None]) -> Any:
    """The batch in the types of `known_columns`."""
    import pyarrow as pa

    columns = zip(batch.columns, converts, strict=True)
    return pa.record_batch([convert(array) if convert else array for array, convert in columns], schema=schema)


def _known(field: Any, keys: Sequence[str], where: str) -> tuple[Any, Convert | None]:
    import pyarrow as pa

    kind = field.type
    if pa.types.is_dictionary(kind):
        return kind.value_type, lambda array: array.dictionary_decode()
    if not isinstance(kind, pa.BaseExtensionType):
        return kind, None
    storage, named = kind.storage_type, getattr(kind, "type_name", "")
    if named == "numeric":
        if field.name in keys:
            fix = f"cast it in the query, such as {field.name}::bigint or {field.name}::text"
            raise InvalidInput(f"column {field.name!r} is a key and of type numeric", where=where,
                               expected="a type that is exact as it is", fix=fix)  # fmt: skip
        return pa.float64(), lambda array: array.storage.cast(pa.float64())
    if kind.extension_name == "arrow.uuid":
        return pa.string(), _uuids
    if pa.types.is_string(storage) and not named:
        return storage, lambda array: array.storage
    raise _unknown(field, named or str(kind), where)


def _uuids(array: Any) -> Any:
    import pyarrow as pa

    cells = array.storage.to_pylist()
    return pa.array([None if cell is None else str(uuid.UUID(bytes=cell)) for cell in cells], pa.string())


def _is_writable(kind: Any) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.write_table(pa.schema([pa.field("column", kind)]).empty_table(), io.BytesIO())
    except (pa.ArrowException, NotImplementedError):
        return False
    return True


def _unknown(field: Any, named: str, where: str) -> InvalidInput:
    return InvalidInput(f"column {field.name!r} has a type that cannot be read", where=where, got=named,
                        fix="cast it in the query to a number or a text, or leave it out")  # fmt: skip
