"""Rows to score: 20 float32 features and a key in Parquet, made piece by piece, so that any number fits in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WIDTH = 20
KEY = "id"
FEATURES = [f"f{i}" for i in range(WIDTH)]
GROUP_ROWS = 250_000
"""Rows of a row group, 21 MB: two processes can share them out evenly."""


def parquet(path: Path, rows: int, *, first: int = 0, group_rows: int = GROUP_ROWS) -> Path:
    """One file of `rows` rows, with keys from `first` on. The same arguments make the same file."""
    schema = pa.schema([(KEY, pa.int64()), *((name, pa.float32()) for name in FEATURES)])
    rng = np.random.default_rng(first)
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for start in range(first, first + rows, group_rows):
            count = min(group_rows, first + rows - start)
            values = rng.standard_normal((WIDTH, count), np.float32)
            writer.write_table(pa.table([np.arange(start, start + count), *values], schema=schema))
    return path


def parquet_folder(folder: Path, rows: int, files: int) -> Path:
    """A folder of `files` files with `rows` rows together."""
    folder.mkdir()
    each = rows // files
    for number in range(files):
        parquet(folder / f"{number:05}.parquet", each, first=number * each)
    return folder
