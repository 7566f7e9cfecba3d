"""Cells of Parquet files as the drivers of databases take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from foretell.batch.sources.arrow_kinds import first_line
from foretell.columns import Bytes
from foretell.errors import Unavailable
from foretell.forms.arrow_plain import plain_arrow

_ROWS = 16_384


def batches(files: Sequence[str]) -> Iterator[Any]:
    """All rows, in record batches of a bounded size. Raises `Unavailable` where a file cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            with pq.ParquetFile(file) as opened:
                yield from opened.iter_batches(batch_size=_ROWS, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            what = f"a part of the job is damaged: {first_line(error)}"
            raise Unavailable(what, where=file, fix="run with --fresh to score it again") from None


def is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def python_cells(array: Any) -> Sequence[Any]:
    """Numbers, flags as numbers, texts, bytes; times as text in ISO 8601; lists, and all else, as JSON."""
    import pyarrow as pa

    kind = array.type
    if is_list(kind) or pa.types.is_nested(kind):
        return json_cells(array)
    if pa.types.is_decimal(kind):
        return [None if cell is None else str(cell) for cell in array.to_pylist()]
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    if not pa.types.is_temporal(kind):
        return list(array.to_pylist())
    made = plain_arrow(array)
    return list(pa.array(_texts(made)).to_pylist()) if isinstance(made, Bytes) else array.to_pylist()


def _texts(column: Bytes) -> list[str | None]:
    ends, data = column.offsets, column.data.tobytes()
    valid = column.valid
    return [None if valid is not None and not valid[row] else data[ends[row] : ends[row + 1]].decode()
            for row in range(len(column))]  # fmt: skip


def json_cells(array: Any) -> list[str | None]:
    """Each cell as JSON text. NaN and infinities become null, which is what JSON has for them."""
    import pyarrow as pa

    inner = array.type.value_type if is_list(array.type) else None
    if inner is None or not pa.types.is_floating(inner) or array.flatten().null_count:
        return [None if cell is None else orjson.dumps(cell, default=str).decode() for cell in array.to_pylist()]
    values = np.ascontiguousarray(array.flatten().to_numpy(zero_copy_only=False))
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    made, at = list[str | None](), 0
    for row, is_null in enumerate(array.is_null().to_pylist()):
        if is_null:
            made.append(None)
            continue
        stop = at + len(array[row])
        made.append(orjson.dumps(values[at:stop], option=orjson.OPT_SERIALIZE_NUMPY).decode())
        at = stop
    return made
