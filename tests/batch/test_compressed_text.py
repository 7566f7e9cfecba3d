"""Compressed CSV and JSON Lines: the shards and rows of the text, and a damaged file told before a row is scored."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from foretell.batch.inputs import find_inputs
from foretell.batch.job import Data
from foretell.batch.library import score
from foretell.batch.shards import Shard, ShardSize
from foretell.batch.sources.registry import open_source
from foretell.batch.sources.source import Source, Unreadable
from foretell.errors import InvalidInput, MissingExtra
from foretell.forms import expanded

TEXT = ("id,x\n" + "".join(f"{row},{row / 4}\n" for row in range(60_000))).encode()
HALF = TEXT.index(b"\n30000,") + 3
"""In the middle of a row."""
SIZE = ShardSize(rows=8_000)


def zstd(content: bytes) -> bytes:
    made = pa.BufferOutputStream()
    with pa.CompressedOutputStream(made, "zstd") as stream:
        stream.write(content)
    return bytes(made.getvalue())


WAYS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd,
}  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    kind, files = find_inputs(path)
    source = open_source(Data(kind, tuple(files)))
    try:
        yield source
    finally:
        source.close()


def shards_and_ids(path: Path, *, backwards: bool = False) -> tuple[list[Shard], list[Any]]:
    with opened(path) as source:
        source.fields()
        shards = source.shards(SIZE)
    order = shards[::-1] if backwards else shards
    with opened(path) as source:  # as a process that scores has it, which reads the header when it needs it
        read = [[cell for block in source.read(shard, ["id"], 3_000) for cell in block.columns["id"].to_pylist()]
                for shard in order]  # fmt: skip
    return shards, [cell for cells in (read[::-1] if backwards else read) for cell in cells]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Shard], list[Any]]:
    path = tmp_path_factory.mktemp("plain") / "data.csv"
    path.write_bytes(TEXT)
    return shards_and_ids(path)


@pytest.mark.parametrize("ending", WAYS)
def test_shards_and_rows_are_those_of_the_text(ending: str, plain: Any, tmp_path: Path) -> None:
    """Also of several members one after the other, cut in the middle of a row, and in any order of the shards."""
    way, path = WAYS[ending], tmp_path / f"data.csv{ending}"
    path.write_bytes(way(TEXT))
    assert shards_and_ids(path) == plain
    assert len(plain[0]) > 7
    path.write_bytes(way(TEXT[:HALF]) + way(b"") + way(TEXT[HALF:]))
    assert shards_and_ids(path, backwards=True) == plain


def test_reading_on_opens_the_file_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(TEXT))
    with opened(path) as source:
        source.fields()
        shards = source.shards(SIZE)
        began: list[int] = []
        begin = expanded.Expanded._begin
        monkeypatch.setattr(expanded.Expanded, "_begin", lambda self: (began.append(1), begin(self)))
        for shard in shards:
            assert sum(block.rows for block in source.read(shard, ["id"], 3_000)) == shard.rows
        assert len(began) <= 1  # it stood at the end


def test_zeros_that_fill_up_the_end_are_no_text(plain: Any, tmp_path: Path) -> None:
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(TEXT) + bytes(1000))
    assert shards_and_ids(path) == plain


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "cut": (".gz", gzip.compress(TEXT)[:-3000], "the gzip data end too early; got "),
    "cut within its checksum": (".gz", gzip.compress(TEXT)[:-3], f"end too early; got {len(TEXT):,} bytes of text"),
    "cut bzip2": (".bz2", bz2.compress(TEXT)[:-9], "the bzip2 data end too early"),
    "cut xz": (".xz", lzma.compress(TEXT)[:-9], "the xz data end too early"),
    "cut zstd": (".zst", zstd(TEXT)[:-9], "the zstd data are damaged: Truncated"),
    "a flipped bit": (".gz", flipped(gzip.compress(TEXT)), "the gzip data are damaged: "),
    "in a later member": (".gz", gzip.compress(TEXT) + flipped(gzip.compress(TEXT)), "are damaged, in member 2: "),
    "a flipped bit of xz": (".xz", flipped(lzma.compress(TEXT)), "the xz data are damaged: "),
    "text behind": (".gz", gzip.compress(TEXT) + b"7,8\n", "something else follows the gzip data"),
    "text behind bzip2": (".bz2", bz2.compress(TEXT) + b"7,8\n", "and then b'7,8\\n'"),
    "a half of a magic behind": (".gz", gzip.compress(TEXT) + b"\x1f", "something else follows the gzip data"),
    "not compressed": (".gz", TEXT, "this is no gzip file; got b'id,x\\n0' to begin with; where it is not compressed, "
                       "name it data.csv"),
    "compressed otherwise": (".gz", zstd(TEXT), "this is no gzip file; got zstd"),
    "compressed twice": (".gz", gzip.compress(gzip.compress(TEXT)), "this is no CSV"),
    "nothing": (".gz", b"", "line 1: the file is empty"),
    "nothing within": (".xz", lzma.compress(b""), "line 1: the file is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_told_before_a_row_is_scored(name: str, tmp_path: Path) -> None:
    ending, content, message = DAMAGED[name]
    path = tmp_path / f"data.csv{ending}"
    path.write_bytes(content)
    with opened(path) as source, pytest.raises(Unreadable) as info:
        source.fields()
        source.shards(SIZE)
    assert message in str(info.value)
    assert str(info.value).startswith(str(path))


def test_a_bomb_is_expanded_no_further_than_reason_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expanded, "_FREE_BYTES", 2**20)
    path = tmp_path / "data.csv.bz2"
    path.write_bytes(bz2.compress(b"id,x\n" + b"\n" * 40_000_000))
    with opened(path) as source, pytest.raises(Unreadable, match="expands beyond reason; expected at most 2,000 times"):
        source.shards(SIZE)


def test_zstd_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.csv.zst"
    path.write_bytes(zstd(TEXT))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with opened(path) as source, pytest.raises(MissingExtra, match=r"foretell\[data\]"):
        source.fields()


def test_names_that_tell(tmp_path: Path) -> None:
    for name, kind in {"a.CSV.GZ": "csv", "ü b.ndjson.zst": "jsonl", "a.tsv.bz2": "tsv"}.items():
        (tmp_path / name).write_bytes(b"")
        assert find_inputs(tmp_path / name)[0] == kind
    for name in ("a.parquet.gz", "a.gz", "a.json.gz"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InvalidInput, match=r"let it end in \.csv\.gz"):
            find_inputs(tmp_path / name)
    assert find_inputs(tmp_path / "a.json.gz", "jsonl")[0] == "jsonl"


def test_a_file_that_is_there_compressed_and_not_is_not_scored_twice(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT))
    with pytest.raises(InvalidInput, match=r"a\.csv\.gz: this is there once more, not compressed"):
        find_inputs(tmp_path)
    assert [file.path for file in find_inputs(tmp_path / "*.gz")[1]] == [str(tmp_path / "a.csv.gz")]


def test_a_job_gives_the_bytes_of_the_text_and_puts_a_damaged_file_aside(tmp_path: Path) -> None:
    lines = TEXT.splitlines(keepends=True)
    lines[7] = b"bad,oops\n"
    for name, way in {"plain": bytes, "packed": gzip.compress}.items():
        (tmp_path / name).mkdir()
        ending = ".gz" if name == "packed" else ""
        (tmp_path / name / f"0.csv{ending}").write_bytes(way(b"".join(lines)))
        report = score(lambda x: x, tmp_path / name, tmp_path / f"{name}.csv", key="id", mapping={"x": ["x"]})
        assert (report.rows, report.quarantined) == (59_999, 1)
    assert (tmp_path / "plain.csv").read_bytes() == (tmp_path / "packed.csv").read_bytes()
    (tmp_path / "packed" / "1.csv.gz").write_bytes(gzip.compress(TEXT)[:-9])
    report = score(lambda x: x, tmp_path / "packed", tmp_path / "out", key="id", mapping={"x": ["x"]})
    assert (report.rows, report.quarantined) == (59_999, 2)
    told = (tmp_path / "out" / "_foretell" / "quarantine.jsonl").read_text()
    assert "0.csv.gz, line 8: column 'x': not a number: 'oops'" in told
    assert "1.csv.gz: the gzip data end too early" in told


def test_damage_that_comes_after_the_plan_is_no_shorter_file(tmp_path: Path) -> None:
    """Of the same size, and said to be as old: nothing but its rows tell."""
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(TEXT))
    with opened(path) as source:
        source.fields()
        shards = source.shards(SIZE)
    path.write_bytes(gzip.compress(TEXT.replace(b"\n3", b"3")))
    with (
        opened(path) as source,
        pytest.raises(InvalidInput, match=r"the input changed .* it had 125 rows from row 0 on, and has 116"),
    ):
        for shard in shards:
            list(source.read(shard, ["id"], 3_000))


def test_a_file_that_needs_too_much_memory_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.xz"
    path.write_bytes(lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**29}]))
    with opened(path) as source, pytest.raises(Unreadable, match="the xz data need too much memory"):
        source.fields()
