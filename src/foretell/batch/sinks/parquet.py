"""Parquet files, written in groups of rows that the plan has fixed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foretell.batch.block import Scored
from foretell.batch.job import AS_TEXT
from foretell.batch.sinks.sink import Part, Sink
from foretell.errors import InvalidInput, ModelError
from foretell.extras import needs
from foretell.forms.plain import readable


class ParquetSink(Sink):
    """Vectors are lists, of a fixed size where the model tells it. The metadata stands in the file under "foretell"."""

    suffix: ClassVar[str] = ".parquet"

    def part(self, path: Path) -> Part:
        _arrow()
        return _ParquetPart(path, self)


class _ParquetPart(Part):
    def __init__(self, path: Path, sink: ParquetSink) -> None:
        self._path, self._sink = path, sink
        self._writer: Any = None
        self._schema: Any = None
        self._kinds: list[tuple[str, Any]] = []
        self._tables: list[Any] = []
        self._rows = 0

    def write(self, scored: Scored) -> None:
        """Raises `ModelError` where an output has another type than before, `InvalidInput` where a key has, and what
        `Sink.check_names` raises."""
        import pyarrow as pa

        columns = _columns(scored, self._sink)
        kinds = [(name, column.type) for name, column in columns.items()]
        if kinds == self._kinds:  # as almost always: what a table would find out is known
            batch = pa.RecordBatch.from_arrays(list(columns.values()), schema=self._schema)
            table = pa.Table.from_batches([batch])
        else:
            table = pa.table(columns, metadata=_encoded(self._sink.metadata))
            self._schema = table.schema if self._schema is None else self._common(table.schema, scored.keys)
            self._kinds = [(field.name, field.type) for field in self._schema]
        self._tables.append(table)
        self._rows += table.num_rows
        while self._rows >= self._sink.group_rows:
            self._flush(self._sink.group_rows)

    def close(self) -> None:
        if self._rows:
            self._flush(self._rows)
        elif self._writer is None and self._schema is not None:
            self._writer = writer_to(self._path, self._schema)  # columns without rows
        if self._writer is not None:
            self._writer.close()
            self.schema = ", ".join(f"{field.name}: {field.type}" for field in self._schema)

    def _flush(self, rows: int) -> None:
        import pyarrow as pa

        schema = self._schema  # casting imports what takes 0.1 s, and is for a first column of nothing but nulls
        whole = pa.concat_tables([t if t.schema.equals(schema) else t.cast(schema) for t in self._tables])
        if self._writer is None:
            self._writer = writer_to(self._path, self._schema)
        self._writer.write_table(whole.slice(0, rows).combine_chunks(), row_group_size=rows)
        rest = whole.slice(rows)
        self._tables, self._rows = [rest] if rest.num_rows else [], rest.num_rows

    def _common(self, other: Any, keys: Collection[str]) -> Any:
        """The schema of all rows so far: a column without any value has had no type yet."""
        import pyarrow as pa

        known = self._schema
        if other.equals(known):
            return known
        for name in dict.fromkeys([*known.names, *other.names]):
            there = [schema.field(name).type if name in schema.names else None for schema in (known, other)]
            nulls = [kind is not None and pa.types.is_null(kind) for kind in there]
            unknown = nulls[1] or (nulls[0] and self._writer is None)
            if there[0] != there[1] and not unknown:
                kind, what, fix = (InvalidInput, "key", AS_TEXT) if name in keys else (ModelError, "column", "")
                raise kind(f"{what} {name!r} has another type than in the rows before", expected=there[0] or "none",
                           got=there[1] or "none", fix=fix)  # fmt: skip
        return pa.unify_schemas([known, other])


def writer_to(path: Path, schema: Any) -> Any:
    """Numbers are written as they are: a dictionary of floats costs time and is given up in the end."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    dictionary = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
                  or pa.types.is_dictionary(f.type)]  # fmt: skip
    return pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=dictionary or False)


def _columns(scored: Scored, sink: ParquetSink) -> dict[str, Any]:
    import pyarrow as pa

    from foretell.batch.sinks.arrow_columns import key_array, output_array

    sink.check_names(scored)
    columns = {name: key_array(name, cells) for name, cells in scored.keys.items()}
    for name, column in scored.answer.columns.items():
        columns[name] = output_array(readable(name, column, sink.spec), sink.spec.output(name))
    for name, value in sink.stamp.items():
        indices = key_array(name, np.zeros(scored.rows, np.int32))
        columns[name] = pa.DictionaryArray.from_arrays(indices, pa.array([value]))
    return columns


def _encoded(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"foretell.{name}": value for name, value in metadata.items()}


def _arrow() -> None:
    with needs("pyarrow", "data", "writing Parquet"):
        import pyarrow.parquet  # noqa: F401 (only whether it is there)
