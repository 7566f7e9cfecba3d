"""Parquet files, written in groups of rows that the plan has fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foretell.batch.block import Scored
from foretell.batch.sinks.sink import Part, Sink
from foretell.columns import Bytes, Column, Dense
from foretell.errors import missing_extra
from foretell.forms.arrow_form import array_of
from foretell.forms.fit import bfloat16_floats
from foretell.forms.form import Kind, library
from foretell.types import DataType, ModelSpec


class ParquetSink(Sink):
    """Vectors are lists, of a fixed size where the model tells it. The metadata stands in the file under "foretell"."""

    suffix: ClassVar[str] = ".parquet"

    def part(self, path: Path) -> Part:
        _arrow()
        return _ParquetPart(path, self)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        import pyarrow.parquet as pq

        writer = None
        try:
            for part in parts:
                with pq.ParquetFile(part) as file:
                    writer = writer or writer_to(path, file.schema_arrow)
                    for group in range(file.metadata.num_row_groups):
                        writer.write_table(file.read_row_group(group, use_threads=False))
            if writer is None:
                import pyarrow as pa

                writer = writer_to(path, pa.schema([], metadata=_encoded(self.metadata)))
        finally:
            if writer is not None:
                writer.close()


class _ParquetPart(Part):
    def __init__(self, path: Path, sink: ParquetSink) -> None:
        self._path, self._sink = path, sink
        self._writer: Any = None
        self._tables: list[Any] = []
        self._rows = 0

    def write(self, scored: Scored) -> None:
        table = _table(scored, self._sink)
        if self._writer is None:
            self._writer = writer_to(self._path, table.schema)
            self.schema = ", ".join(f"{field.name}: {field.type}" for field in table.schema)
        self._tables.append(table)
        self._rows += table.num_rows
        while self._rows >= self._sink.group_rows:
            self._flush(self._sink.group_rows)

    def close(self) -> None:
        if self._rows:
            self._flush(self._rows)
        if self._writer is not None:
            self._writer.close()

    def _flush(self, rows: int) -> None:
        import pyarrow as pa

        whole = pa.concat_tables(self._tables)
        self._writer.write_table(whole.slice(0, rows).combine_chunks(), row_group_size=rows)
        rest = whole.slice(rows)
        self._tables, self._rows = [rest] if rest.num_rows else [], rest.num_rows


def writer_to(path: Path, schema: Any) -> Any:
    """Numbers are written as they are: a dictionary of floats costs time and is given up in the end."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    dictionary = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
                  or pa.types.is_dictionary(f.type)]  # fmt: skip
    return pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=dictionary or False)


def _table(scored: Scored, sink: ParquetSink) -> Any:
    import pyarrow as pa

    columns = {name: _cells(cells) for name, cells in scored.keys.items()}
    for name, column in scored.answer.columns.items():
        columns[name] = array_of(_readable(name, column, sink.spec))
    for name, value in sink.stamp.items():
        indices = pa.array(np.zeros(scored.rows, np.int32))
        columns[name] = pa.DictionaryArray.from_arrays(indices, pa.array([value]))
    table = pa.table(columns)
    return table.replace_schema_metadata(_encoded(sink.metadata))


def _cells(cells: Any) -> Any:
    import pyarrow as pa

    return cells if library(cells) is Kind.ARROW else pa.array(cells)


def _readable(name: str, column: Column, spec: ModelSpec) -> Column:
    """Rows of one value as that value; BF16, which Arrow has not, as floats."""
    tensor = spec.output(name)
    if tensor is not None and tensor.datatype is DataType.BF16 and isinstance(column, Dense):
        column = Dense(bfloat16_floats(column.data), column.valid)
    if isinstance(column, Dense) and column.row_shape == (1,):
        return Dense(column.data.reshape(len(column)), column.valid)
    if isinstance(column, Bytes) and column.row_shape == (1,):
        return Bytes(column.offsets, column.data, (), column.valid)
    return column


def _encoded(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"foretell.{name}": value for name, value in metadata.items()}


def _arrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401 (only whether it is there)
    except ImportError:
        raise missing_extra("pyarrow", "data", "writing Parquet") from None
