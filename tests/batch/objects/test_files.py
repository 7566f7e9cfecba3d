"""Inputs in object storage, read as files."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_proxy import FAULTS, FaultProxy
from s3_server import S3Server

from foretell.batch.block import Block
from foretell.batch.bucket import Bucket
from foretell.batch.files import ChangedInput, Files, read_on
from foretell.batch.inputs import find_inputs
from foretell.batch.job import Data
from foretell.batch.shards import ShardSize
from foretell.batch.sources.registry import open_source
from foretell.errors import InvalidInput

_ROWS, _GROUPS = 4_000, 10
PACKED = {".gz": gzip.compress, "zst": lambda content: bytes(pa.compress(content, "zstd"))}


@pytest.fixture
def files() -> Iterator[Files]:
    made = Files()
    yield made
    made.close()


def table() -> pa.Table:
    """Twenty columns, all different in each call."""
    columns = {f"c{number}": pa.array([f"{os.urandom(4).hex():0>100}"] * _ROWS) for number in range(19)}
    return pa.table({"key": pa.array(range(_ROWS)), **columns})


def parquet(path: Path, groups: int = _GROUPS) -> bytes:
    pq.write_table(table(), path, row_group_size=_ROWS // groups, compression="none", use_dictionary=False)
    return path.read_bytes()


def test_an_object_is_a_file_that_can_be_sought_in(s3: S3Server, files: Files) -> None:
    content = os.urandom(3 * 2**20) + b"\nline one\nline two\n"
    s3.put("box", "data.csv", content)
    _, (file,) = find_inputs("s3://box/data.csv")
    with files.open(file) as opened:
        assert opened.read() == content
        opened.seek(2**20 + 7)
        assert opened.read(100) == content[2**20 + 7 :][:100]
        opened.seek(-9, os.SEEK_END)
        assert list(opened) == [b"line two\n"]
        assert opened.read(10) == b""


def test_a_local_input_is_the_same_kind_of_file(tmp_path: Path, files: Files) -> None:
    (tmp_path / "data.csv").write_bytes(b"a\n1\n")
    _, (file,) = find_inputs(tmp_path / "data.csv")
    with files.open(file) as opened:
        opened.seek(2)
        assert opened.read() == b"1\n"


def test_an_object_that_changes_while_it_is_read_is_an_error(s3: S3Server, files: Files) -> None:
    s3.put("box", "data.csv", b"1" * 3 * 2**20)
    _, (file,) = find_inputs("s3://box/data.csv")
    with files.open(file) as opened:
        opened.read(10)
        s3.put("box", "data.csv", b"2" * 3 * 2**20)
        with pytest.raises(
            InvalidInput, match=r"s3://box/data.csv: the input changed while it was read: it was written"
        ):
            opened.read()


def rows_of(data: str, columns: tuple[str, ...], size: ShardSize | None = None, at_once: int = 300) -> list[Block]:
    kind, found = find_inputs(data)
    source = open_source(Data(kind, tuple(found)))
    try:
        return [block for shard in source.shards(size or ShardSize()) for block in source.read(shard, columns, at_once)]
    finally:
        source.close()


def joined(blocks: list[Block]) -> list[object]:
    return [value for block in blocks for value in block.columns["c3"].to_pylist()]


@pytest.mark.parametrize("most", [100_000, 1000, 333])
def test_parquet_is_the_same_there_as_here(s3: S3Server, tmp_path: Path, most: int) -> None:
    s3.put("box", "data.parquet", parquet(tmp_path / "data.parquet"))
    size = ShardSize(rows=most)
    there = rows_of("s3://box/data.parquet", ("c3", "key"), size)
    here = rows_of(str(tmp_path / "data.parquet"), ("c3", "key"), size)
    assert joined(there) == joined(here)
    assert sum(block.rows for block in there) == _ROWS


@pytest.mark.parametrize(
    ("name", "columns", "row"),
    [
        ("data.csv", ("c3", "b"), '{n},"text, {n}"\n'),
        ("data.jsonl", ("c3", "b"), '{{"c3": {n}, "b": "text {n}"}}\n'),
        ("data.txt", ("text",), "line {n}\n"),
        ("data.csv.gz", ("c3", "b"), '{n},"text, {n}"\n'),
        ("data.jsonl.zst", ("c3", "b"), '{{"c3": {n}, "b": "text {n}"}}\n'),
    ],
)
def test_every_kind_of_file_is_the_same_there_as_here(
    s3: S3Server, tmp_path: Path, name: str, columns: tuple[str, ...], row: str
) -> None:
    text = ("c3,b\n" if ".csv" in name else "") + "".join(row.format(n=n) for n in range(5000))
    content = PACKED.get(name[-3:], bytes)(text.encode())
    (tmp_path / name).write_bytes(content)
    s3.put("box", name, content)
    size = ShardSize(rows=700)
    there, here = (rows_of(where, columns, size) for where in (f"s3://box/{name}", str(tmp_path / name)))
    assert sum(block.rows for block in there) == 5000
    assert [each for block in there for column in columns for each in listed(block.columns[column])] == [
        each for block in here for column in columns for each in listed(block.columns[column])
    ]


def test_what_is_read_in_order_comes_in_large_pieces_and_no_byte_too_many(s3: S3Server, files: Files) -> None:
    content = os.urandom(21 * 2**20)
    s3.put("box", "data.csv", content)
    _, (file,) = find_inputs("s3://box/data.csv")
    before = len(s3.asked)
    with files.open(file) as opened:
        read_on(opened, 1000, 20 * 2**20)
        read = b"".join(iter(lambda: opened.read(min(300_000, 20 * 2**20 - opened.tell())), b""))
        assert read == content[1000 : 20 * 2**20]
        asked = s3.asked[before:]
        assert len(asked) == 3 and sum(each.sent for each in asked) == len(read)
        opened.seek(5)
        assert opened.read(7) == content[5:12]
        opened.seek(20 * 2**20 - 3)
        assert opened.read(9) == content[20 * 2**20 - 3 :][:9]
        read_on(opened, 8, 16)
        s3.put("box", "data.csv", content)
        s3.put("box", "data.csv", b"1" * len(content))
        with pytest.raises(InvalidInput, match="the input changed while it was read"):
            opened.read(4)


@pytest.mark.parametrize("ending", ["zip", "gztar", "tar"])
def test_an_archive_is_read_where_it_is(s3: S3Server, tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}.txt").write_text(f"text {number}")
    path = Path(shutil.make_archive(str(tmp_path / "data"), ending, folder))
    s3.put("box", path.name, path.read_bytes())
    there, here = (rows_of(where, ("text",), ShardSize(rows=7)) for where in (f"s3://box/{path.name}", str(path)))
    assert [text for block in there for text in listed(block.columns["text"])] == [
        text for block in here for text in listed(block.columns["text"])
    ]
    assert sum(block.rows for block in there) == 30


def listed(cells: object) -> list[object]:
    return list(cells.to_pylist() if hasattr(cells, "to_pylist") else cells)  # type: ignore[call-overload]


def test_only_the_columns_that_are_asked_for_are_fetched(s3: S3Server, tmp_path: Path) -> None:
    content = parquet(tmp_path / "data.parquet")
    s3.put("box", "data.parquet", content)
    rows_of("s3://box/data.parquet", ("c3",))
    sent = sum(asked.sent for asked in s3.asked if asked.method == "GET")
    whole = len(content)
    metadata = pq.ParquetFile(tmp_path / "data.parquet").metadata
    column = sum(metadata.row_group(group).column(4).total_compressed_size for group in range(_GROUPS))
    footers = 2 * 2**17
    assert whole > 7_500_000 and column < whole / 15
    assert column <= sent < column + footers


def test_small_groups_of_rows_are_fetched_together(s3: S3Server, tmp_path: Path) -> None:
    s3.put("box", "data.parquet", parquet(tmp_path / "data.parquet", groups=100))
    rows_of("s3://box/data.parquet", tuple(f"c{number}" for number in range(19)))
    asked = [asked for asked in s3.asked if asked.method == "GET" and asked.key]
    assert len(asked) < 12, "two footers, and eight megabytes in large pieces"


def test_a_shard_fetches_only_its_own_groups_of_rows(s3: S3Server, tmp_path: Path) -> None:
    content = parquet(tmp_path / "data.parquet")
    s3.put("box", "data.parquet", content)
    kind, found = find_inputs("s3://box/data.parquet")
    source = open_source(Data(kind, tuple(found)))
    shards = source.shards(ShardSize(rows=_ROWS // _GROUPS))
    before = sum(asked.sent for asked in s3.asked)
    list(source.read(shards[5], tuple(f"c{number}" for number in range(19)), 64))
    source.close()
    assert sum(asked.sent for asked in s3.asked) - before < len(content) / _GROUPS * 1.1


def test_an_object_that_is_written_again_between_shards_is_an_error(s3: S3Server, tmp_path: Path) -> None:
    s3.put("box", "data.parquet", parquet(tmp_path / "data.parquet"))
    kind, found = find_inputs("s3://box/data.parquet")
    source = open_source(Data(kind, tuple(found)))
    shards = source.shards(ShardSize(rows=_ROWS // _GROUPS))
    list(source.read(shards[0], ("c3",), 64))
    s3.put("box", "data.parquet", parquet(tmp_path / "again.parquet"))
    with pytest.raises(InvalidInput, match=r"s3://box/data.parquet: the input changed while it was read"):
        list(source.read(shards[5], ("c3",), 64))
    source.close()


@pytest.mark.parametrize("ending", PACKED)
def test_a_compressed_object_that_is_written_again_is_an_error(s3: S3Server, ending: str) -> None:
    """And no damage, whatever expands it."""
    content = PACKED[ending](b"c3\n" + b"1234567\n" * 400_000)
    name = f"data.csv.{ending.strip('.')}"
    s3.put("box", name, content)
    kind, found = find_inputs(f"s3://box/{name}")
    source = open_source(Data(kind, tuple(found)))
    source.fields()
    source.close()
    s3.put("box", name, content[::-1])
    with pytest.raises(ChangedInput, match="the input changed while it was read"):
        source.shards(ShardSize())
    source.close()


def test_parquet_that_is_cut_off_is_named(s3: S3Server, tmp_path: Path) -> None:
    s3.put("box", "data.parquet", parquet(tmp_path / "data.parquet")[:-100])
    with pytest.raises(InvalidInput, match=r"s3://box/data.parquet: not a readable Parquet file"):
        rows_of("s3://box/data.parquet", ("c3",))


@pytest.mark.parametrize("fault", FAULTS)
def test_every_row_arrives_where_half_of_all_requests_fail(
    fault: str, s3: S3Server, behind: Callable[..., tuple[Bucket, FaultProxy]], tmp_path: Path
) -> None:
    s3.put("box", "data.parquet", parquet(tmp_path / "data.parquet", groups=4))
    _, proxy = behind(seed=3, faults=(fault,))
    there = rows_of("s3://box/data.parquet", ("c3", "c9"), ShardSize(rows=_ROWS // 4))
    assert joined(there) == joined(rows_of(str(tmp_path / "data.parquet"), ("c3", "c9")))
    assert proxy.met[fault] > 3
