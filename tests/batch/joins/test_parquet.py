"""One Parquet file of several: other readers must find in it what stands in the parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foretell.batch.joins.registry import join
from foretell.errors import ModelError

ROWS = 3000


def table(number: int, rows: int = ROWS) -> pa.Table:
    """Columns of every shape a page can have: flat, with nulls, of text, dictionaries, nested."""
    rng = np.random.default_rng(number)
    words = [None if at % 7 == 3 else f"wört {at % 50}" for at in range(rows)]
    return pa.table(
        {
            "row": np.arange(number * rows, (number + 1) * rows),
            "score": rng.random(rows, np.float32),
            "word": words,
            "stamp": pa.array(["1"] * rows).dictionary_encode(),
            "list": pa.array([list(range(at % 4)) if at % 5 else None for at in range(rows)]),
            "pair": pa.FixedSizeListArray.from_arrays(pa.array(rng.random(2 * rows)), 2),
            "nested": pa.array([{"a": at, "b": [str(at)]} for at in range(rows)]),
        },
        metadata={"foretell.model": "m"},
    )


def write_parts(folder: Path, tables: list[pa.Table], **options: Any) -> list[Path]:
    paths = [folder / f"part-{number}" for number in range(len(tables))]
    for path, each in zip(paths, tables, strict=True):
        pq.write_table(each, path, row_group_size=1000, **options)
    return paths


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy"},
        {"compression": "zstd", "write_page_index": True, "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False, "version": "1.0", "write_page_checksum": True},
        {"store_schema": False, "sorting_columns": [pq.SortingColumn(0)]},
    ],
)
def test_other_readers_find_the_rows_of_all_parts_in_order(tmp_path: Path, options: dict[str, Any]) -> None:
    parts = write_parts(tmp_path, [table(number) for number in range(5)], **options)
    path = tmp_path / "joined.parquet"
    join("parquet", parts, path)
    whole = pa.concat_tables([pq.ParquetFile(part).read() for part in parts])
    assert pq.ParquetFile(path, page_checksum_verification="write_page_checksum" in options).read().equals(whole)
    assert pq.read_schema(path).equals(pq.read_schema(parts[0]), check_metadata=True)
    assert pl.read_parquet(path)["row"].to_list() == whole["row"].to_pylist()
    found = pl.scan_parquet(path).filter(pl.col("row") == 2 * ROWS + 7).collect()  # by the statistics of groups
    assert found["word"].to_list() == [whole["word"][2 * ROWS + 7].as_py()]
    metadata = pq.read_metadata(path)
    assert (metadata.num_rows, metadata.num_row_groups) == (5 * ROWS, 15)
    picked = pq.ParquetFile(path).read_row_group(10, columns=["nested", "list"])
    assert picked.equals(whole.select(["nested", "list"]).slice(10_000, 1000))


def test_joined_files_can_be_joined_again(tmp_path: Path) -> None:
    parts = write_parts(tmp_path, [table(number) for number in range(4)])
    for name, some in (("ab", parts[:2]), ("cd", parts[2:])):
        join("parquet", some, tmp_path / name)
    join("parquet", [tmp_path / "ab", tmp_path / "cd"], tmp_path / "in two steps")
    join("parquet", parts, tmp_path / "at once")
    assert pq.ParquetFile(tmp_path / "in two steps").read().equals(pq.ParquetFile(tmp_path / "at once").read())


def test_the_same_parts_give_the_same_bytes_and_one_part_its_rows(tmp_path: Path) -> None:
    parts = write_parts(tmp_path, [table(number) for number in range(3)])
    assert join("parquet", parts, tmp_path / "one") == join("parquet", iter(parts), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    join("parquet", parts[:1], tmp_path / "alone")
    assert pq.ParquetFile(tmp_path / "alone").read().equals(table(0))


def test_parts_whose_columns_differ_are_not_joined(tmp_path: Path) -> None:
    parts = write_parts(tmp_path, [table(0), table(1).drop_columns("word")])
    with pytest.raises(ModelError, match="the columns are not those of the parts before"):
        join("parquet", parts, tmp_path / "joined")


@pytest.mark.parametrize("cut", [0, 3, 11, 200, 20_000])
def test_a_part_that_is_cut_off_is_told(tmp_path: Path, cut: int) -> None:
    parts = write_parts(tmp_path, [table(0), table(1)])
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[:cut])
    with pytest.raises(ModelError, match="it is no Parquet file"):
        join("parquet", parts, tmp_path / "joined")


def test_a_footer_that_is_garbage_is_told(tmp_path: Path) -> None:
    parts = write_parts(tmp_path, [table(0)])
    content = bytearray(parts[0].read_bytes())
    length = int.from_bytes(content[-8:-4], "little")
    rng = np.random.default_rng(1)
    for _ in range(300):
        content[-8 - length : -8] = rng.bytes(length)
        parts[0].write_bytes(content)
        with pytest.raises(ModelError):
            join("parquet", parts, tmp_path / "joined")
