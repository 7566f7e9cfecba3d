"""What every source of tables promises."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from foretell.batch.block import Block
from foretell.batch.inputs import find_inputs
from foretell.batch.job import Data
from foretell.batch.shards import Shard, ShardSize
from foretell.batch.sources.registry import open_source
from foretell.batch.sources.source import Source
from foretell.errors import InvalidInput
from foretell.types import DataType, ModelSpec, TensorSpec

Table = dict[str, list[Any]]

SPEC = ModelSpec(inputs=(TensorSpec("x", DataType.FP64, (1,)), TensorSpec("n", DataType.INT64, (1,))))


def write_separated(delimiter: str) -> Callable[[Path, Table], None]:
    def write(path: Path, table: Table) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(table)
            writer.writerows(zip(*table.values(), strict=True))

    return write


def write_lines(path: Path, table: Table) -> None:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_parquet(path: Path, table: Table) -> None:
    pq.write_table(typed(table), path, row_group_size=7)


def write_arrow(path: Path, table: Table) -> None:
    with pa.ipc.new_file(path, typed(table).schema) as writer:
        writer.write_table(typed(table), max_chunksize=7)


def write_arrow_stream(path: Path, table: Table) -> None:
    with pa.ipc.new_stream(path, typed(table).schema) as writer:
        writer.write_table(typed(table), max_chunksize=7)


def write_feather(path: Path, table: Table) -> None:
    feather.write_feather(typed(table), path, compression="zstd", chunksize=7)


def compressed(write: Callable[[Path, Table], None], how: Callable[[bytes], bytes]) -> Callable[[Path, Table], None]:
    def written(path: Path, table: Table) -> None:
        write(path, table)
        path.write_bytes(how(path.read_bytes()))

    return written


def zstd(content: bytes) -> bytes:
    made = pa.BufferOutputStream()
    with pa.CompressedOutputStream(made, "zstd") as stream:
        stream.write(content)
    return bytes(made.getvalue())


def typed(table: Table) -> Any:
    kinds = {"a": pa.float64(), "n": pa.int64(), "text": pa.string()}
    return pa.table({name: pa.array(cells, kinds.get(name, pa.string())) for name, cells in table.items()})


@dataclass(frozen=True)
class Case:
    suffix: str
    write: Callable[[Path, Table], None]
    without_arrow: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


CASES = {
    "parquet": Case(".parquet", write_parquet),
    "csv": Case(".csv", write_separated(",")),
    "csv without pyarrow": Case(".csv", write_separated(","), without_arrow=True),
    "tsv": Case(".tsv", write_separated("\t")),
    "tsv without pyarrow": Case(".tsv", write_separated("\t"), without_arrow=True),
    "csv with semicolons": Case(".csv", write_separated(";"), options={"delimiter": ";"}),
    "csv with bars without pyarrow": Case(".csv", write_separated("|"), True, {"delimiter": "|"}),
    "jsonl": Case(".jsonl", write_lines),
    "arrow": Case(".arrow", write_arrow),
    "arrow stream": Case(".arrow", write_arrow_stream),
    "feather": Case(".feather", write_feather),
    "jsonl without pyarrow": Case(".jsonl", write_lines, without_arrow=True),
    "csv.gz": Case(".csv.gz", compressed(write_separated(","), gzip.compress)),
    "tsv.bz2 without pyarrow": Case(".tsv.bz2", compressed(write_separated("\t"), bz2.compress), without_arrow=True),
    "jsonl.xz without pyarrow": Case(".jsonl.xz", compressed(write_lines, lzma.compress), without_arrow=True),
    "ndjson.zst": Case(".ndjson.zst", compressed(write_lines, zstd)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def make(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Source]]:
    """A source of files with these tables; pyarrow is hidden once they are written, where the case says so."""
    opened: list[Source] = []

    def made(*tables: Table) -> Source:
        folder = tmp_path / f"data{len(opened)}"
        folder.mkdir()
        for number, table in enumerate(tables):
            case.write(folder / f"{number}{case.suffix}", table)
        if case.without_arrow:
            monkeypatch.setitem(sys.modules, "pyarrow", None)
        kind, files = find_inputs(folder)
        source = open_source(Data(kind, tuple(files), case.options))
        source.suit(SPEC, {"x": ("a",), "n": ("n",)})
        opened.append(source)
        return source

    yield made
    for source in opened:
        source.close()


def some(rows: int, first: int = 0) -> Table:
    numbers = range(first, first + rows)
    texts = [
        ["plain; or | so", "a,b", 'say "so"', "two\nlines", "tab\there", "Ünïcode"][number % 6] for number in numbers
    ]
    return {"a": [number / 4 for number in numbers], "text": texts, "n": list(numbers)}


def values(cells: Any) -> list[Any]:
    made: list[Any] = cells.to_pylist() if hasattr(cells, "to_pylist") else list(cells)
    return [cell.item() if isinstance(cell, np.generic) else cell for cell in made]


def read(source: Source, shards: list[Shard], columns: list[str], rows: int = 5) -> list[tuple[Any, ...]]:
    """Every row as its file, its number and its cells."""
    return [row for shard in shards for block in source.read(shard, columns, rows) for row in of_block(block, columns)]


def of_block(block: Block, columns: list[str]) -> list[tuple[Any, ...]]:
    cells = [values(block.columns[name]) for name in columns]
    numbers = range(block.first_row, block.first_row + block.rows)
    return [(block.file, number, *row) for number, row in zip(numbers, zip(*cells, strict=True), strict=True)]


def wanted(file: int, table: Table, columns: list[str]) -> list[tuple[Any, ...]]:
    rows = zip(*(table[name] for name in columns), strict=True)
    return [(file, number, *row) for number, row in enumerate(rows)]


SIZES = [ShardSize(), ShardSize(rows=16), ShardSize(rows=1), ShardSize(bytes=100)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_every_row_is_read_once_and_in_order(make: Callable[..., Source], size: ShardSize, rows: int) -> None:
    source = make(some(23))
    columns = ["text", "a", "n"]
    assert read(source, source.shards(size), columns, rows) == wanted(0, some(23), columns)


def test_rows_count_in_each_file(make: Callable[..., Source]) -> None:
    source = make(some(3), some(20, 100), some(1, 7))
    shards = source.shards(ShardSize(rows=8))
    tables = enumerate([some(3), some(20, 100), some(1, 7)])
    assert read(source, shards, ["n"]) == [row for file, table in tables for row in wanted(file, table, ["n"])]


def test_shards_follow_each_other_and_tell_their_rows(make: Callable[..., Source]) -> None:
    source = make(some(40), some(9))
    shards = source.shards(ShardSize(rows=16))
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert len(shards) > 3
    assert shards == source.shards(ShardSize(rows=16))
    for file, rows in ((0, 40), (1, 9)):
        mine = [shard for shard in shards if shard.file == file]
        assert sum(shard.rows or 0 for shard in mine) == rows
        firsts = [sum(shard.rows or 0 for shard in mine[:at]) for at in range(len(mine))]
        assert [shard.first_row for shard in mine] == firsts


def test_the_first_shard_is_small(make: Callable[..., Source]) -> None:
    shards = make(some(400)).shards(ShardSize(rows=160))
    assert (shards[0].rows or 0) <= 10 < (shards[1].rows or 0)


def test_shards_may_be_read_in_any_order_and_again(make: Callable[..., Source]) -> None:
    source = make(some(40), some(9))
    shards = source.shards(ShardSize(rows=8))
    whole = [read(source, [shard], ["n", "text"]) for shard in shards]
    backwards = [read(source, [shard], ["n", "text"]) for shard in reversed(shards)]
    assert backwards[::-1] == whole
    assert [read(source, [shard], ["n", "text"]) for shard in shards] == whole


def test_blocks_are_no_larger_than_they_may_be(make: Callable[..., Source]) -> None:
    source = make(some(40))
    blocks = [block for shard in source.shards(ShardSize()) for block in source.read(shard, ["n"], 7)]
    assert max(block.rows for block in blocks) == 7
    assert all(block.rows for block in blocks)


def test_only_the_columns_that_are_asked_for_are_read(make: Callable[..., Source]) -> None:
    source = make(some(5))
    blocks = [block for shard in source.shards(ShardSize()) for block in source.read(shard, ["n"], 10)]
    assert [list(block.columns) for block in blocks] == [["n"]] * len(blocks)


def test_columns_and_their_kinds(make: Callable[..., Source]) -> None:
    fields = make(some(20), some(20)).fields()
    assert [(field.name, field.kind) for field in fields] == [("a", "number"), ("text", "text"), ("n", "number")]


def test_a_cell_that_holds_nothing_is_null(make: Callable[..., Source]) -> None:
    source = make({"a": [0.5, None], "text": ["x", None], "n": [None, 3]})
    (block,) = list(source.read(source.shards(ShardSize())[-1], ["a", "text", "n"], 10))
    assert values(block.columns["text"]) == ["x", None]
    assert str(values(block.columns["a"])) in ("[0.5, None]", "[0.5, nan]")
    cells = block.columns["n"]
    assert [None if cell is np.ma.masked else cell for cell in values(cells)] == [None, 3]


def test_files_in_another_order_of_columns_are_one_data_set(make: Callable[..., Source]) -> None:
    turned = {name: some(2)[name] for name in ("text", "n", "a")}
    source = make(some(2), turned)
    shards = source.shards(ShardSize())
    assert read(source, shards, ["a", "n"]) == [*wanted(0, some(2), ["a", "n"]), *wanted(1, some(2), ["a", "n"])]


def test_a_column_that_one_file_has_not_is_named_with_the_file(make: Callable[..., Source]) -> None:
    source = make(some(3), {name: cells for name, cells in some(3).items() if name != "n"})
    with pytest.raises(InvalidInput, match=r"1\.[\w.]+: .*'n'"):
        source.fields()
        source.check(["a", "n"])


def test_a_column_of_another_kind_is_named_with_the_file(make: Callable[..., Source], case: Case) -> None:
    other = {**some(3), "a": ["x", "y", "z"]}
    if case.suffix in (".parquet", ".arrow", ".feather"):
        other = {"b" if name == "a" else name: cells for name, cells in other.items()}
    source = make(some(3), other)
    with pytest.raises(InvalidInput, match=r"1\.[\w.]+: .*'a'"):
        source.fields()
        source.check(["a", "n"])


def test_a_file_without_rows_has_no_shards(make: Callable[..., Source]) -> None:
    source = make(some(0), some(2))
    shards = source.shards(ShardSize())
    assert {shard.file for shard in shards} == {1}
    assert len(read(source, shards, ["n"])) == 2


def test_a_file_that_is_gone_is_named(make: Callable[..., Source]) -> None:
    source = make(some(2))
    Path(source.files[0].path).unlink()
    with pytest.raises(InvalidInput, match=r"0\.\w+"):
        source.shards(ShardSize())


def test_a_file_of_bytes_that_mean_nothing_is_named(make: Callable[..., Source], case: Case) -> None:
    source = make(some(2))
    path = Path(source.files[0].path)
    path.write_bytes(b"\xff\xfe\x00\x01" * 200)
    kind, files = find_inputs(path)
    again = open_source(Data(kind, tuple(files)))
    with pytest.raises(InvalidInput, match=r"0\.\w+"):
        again.fields()
    again.close()


def test_a_file_that_becomes_shorter_is_named(make: Callable[..., Source]) -> None:
    source = make(some(500))
    shards = source.shards(ShardSize(rows=100))
    source.close()
    path = Path(source.files[0].path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(InvalidInput, match=r"0\.\w+"):
        read(source, shards, ["n"])
