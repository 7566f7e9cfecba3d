"""What every sink promises."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foretell.batch.block import Scored
from foretell.batch.joins.registry import join
from foretell.batch.sinks.registry import SUFFIXES, open_sink
from foretell.batch.sinks.sink import Sink
from foretell.columns import Batch, Bytes, Column, Dense, Ragged, concat
from foretell.types import DataType, ModelSpec, TensorSpec

Rows = list[dict[str, Any]]

SPEC = ModelSpec(
    outputs=(
        TensorSpec("score", DataType.FP32, ()),
        TensorSpec("one", DataType.INT64, (1,)),
        TensorSpec("pair", DataType.FP32, (2,)),
        TensorSpec("grid", DataType.INT64, (2, 2)),
        TensorSpec("free", DataType.FP64, (None,)),
        TensorSpec("word", DataType.BYTES, ()),
        TensorSpec("words", DataType.BYTES, (None,)),
    ),
)  # fmt: skip
NASTY = ["plain", "", 'say "so"', "a,b", "two\nlines", "Ünïcode", "\\", '",', "\x01", "\r", " edge "]


@pytest.fixture(params=sorted(set(SUFFIXES.values())))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sink_of(kind: str, spec: ModelSpec = SPEC, stamp: dict[str, str] | None = None, group_rows: int = 4) -> Sink:
    return open_sink(kind, spec, {"job": "j"}, stamp or {}, group_rows)


def some(first: int, rows: int) -> Scored:
    """Rows that hold every kind of output."""
    numbers = np.arange(first, first + rows)
    texts = [NASTY[number % len(NASTY)] for number in numbers.tolist()]
    lengths = numbers % 3
    words = [item for number, text in zip(lengths.tolist(), texts, strict=True) for item in [text] * number]
    columns: dict[str, Column] = {
        "score": Dense((numbers / 7).astype(np.float32)),
        "one": Dense(numbers.reshape(-1, 1), numbers % 5 != 4),
        "pair": Dense(np.stack([numbers / 3, -numbers / 3], 1).astype(np.float32)),
        "grid": Dense(np.repeat(numbers, 4).reshape(-1, 2, 2)),
        "free": Ragged(Dense(np.repeat(numbers, lengths) / 2), offsets(lengths)),
        "word": Bytes.of([text if number % 4 else None for number, text in zip(numbers, texts, strict=True)]),
        "words": Ragged(Bytes.of(words), offsets(lengths)),
    }
    return Scored({"id": texts, "row": numbers}, Batch(columns, rows))


def offsets(lengths: Any) -> Any:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def write(sink: Sink, path: Path, pieces: Sequence[Scored]) -> bytes:
    part = sink.part(path)
    for piece in pieces:
        part.write(piece)
    part.close()
    return path.read_bytes()


def rows_of(path: Path, kind: str) -> Rows:
    """What stands in a file, with cells of JSON read, "" and null not told apart in CSV."""
    if kind == "parquet":
        table = pq.read_table(path)
        rows: Rows = table.to_pylist()
        return rows
    if kind == "jsonl":
        return [json.loads(line) for line in path.read_bytes().decode().split("\n")[:-1]]
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file, strict=True)]


def expected(scored: Scored) -> Rows:
    answer = scored.answer.columns
    free, words = answer["free"], answer["words"]
    assert isinstance(free, Ragged) and isinstance(words, Ragged)
    bounds, flat, texts = (
        free.offsets.tolist(),
        scored.answer.columns["free"],
        [w.decode() for w in words.values.items()],
    )  # type: ignore[union-attr]
    assert isinstance(flat, Ragged) and isinstance(flat.values, Dense)
    word = answer["word"]
    assert isinstance(word, Bytes)
    made: Rows = []
    for row in range(scored.rows):
        number = int(scored.keys["row"][row])
        span = slice(bounds[row], bounds[row + 1])
        null = word.valid is not None and not word.valid[row]
        pair = [np.float32(number / 3), np.float32(-number / 3)]
        made.append({
            "id": scored.keys["id"][row], "row": number, "score": np.float32(number / 7),
            "one": None if number % 5 == 4 else number, "pair": pair, "grid": [[number] * 2] * 2,
            "free": free.values.data[span].tolist(), "word": None if null else word.items()[row].decode(),
            "words": texts[span],
        })  # fmt: skip
    return made


def as_expected(row: dict[str, Any], kind: str) -> dict[str, Any]:
    """A row that was read, in the types of `expected`."""
    if kind != "csv":
        return {**row, "score": np.float32(row["score"]), "pair": [np.float32(each) for each in row["pair"]]}
    return {
        "id": row["id"], "row": int(row["row"]), "score": np.float32(row["score"]),
        "one": int(row["one"]) if row["one"] else None, "pair": [np.float32(row["pair_0"]), np.float32(row["pair_1"])],
        "grid": json.loads(row["grid"]), "free": json.loads(row["free"]), "word": row["word"],
        "words": json.loads(row["words"]),
    }  # fmt: skip


def test_what_is_written_can_be_read(tmp_path: Path, kind: str) -> None:
    scored = some(0, 23)
    path = tmp_path / "part"
    write(sink_of(kind), path, [scored])
    wanted = expected(scored)
    if kind == "csv":
        wanted = [{**row, "word": row["word"] or ""} for row in wanted]
    assert [as_expected(row, kind) for row in rows_of(path, kind)] == wanted


def test_the_same_rows_give_the_same_bytes_however_they_are_cut(tmp_path: Path, kind: str) -> None:
    whole = write(sink_of(kind), tmp_path / "whole", [some(0, 23)])
    pieces = write(sink_of(kind), tmp_path / "pieces", [some(0, 1), some(1, 9), some(10, 13)])
    assert whole == pieces


def test_parts_join_to_one_file(tmp_path: Path, kind: str) -> None:
    sink = sink_of(kind)
    paths = [tmp_path / name for name in "abc"]
    for path, (first, rows) in zip(paths, [(0, 3), (3, 11), (14, 1)], strict=True):
        write(sink, path, [some(first, rows)])
    size, digest = join(kind, paths, tmp_path / "joined")
    write(sink, tmp_path / "whole", [some(0, 15)])
    assert rows_of(tmp_path / "joined", kind) == rows_of(tmp_path / "whole", kind)
    content = (tmp_path / "joined").read_bytes()
    assert (size, digest) == (len(content), hashlib.sha256(content).hexdigest())


def test_no_parts_join_to_a_file_without_rows(tmp_path: Path, kind: str) -> None:
    join(kind, [], tmp_path / "joined")
    assert rows_of(tmp_path / "joined", kind) == []


def test_the_stamp_stands_in_every_row(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "part"
    write(sink_of(kind, stamp={"model": "m", "version": "3"}), path, [some(0, 5), some(5, 2)])
    assert [(row["model"], row["version"]) for row in rows_of(path, kind)] == [("m", "3")] * 7


def test_a_part_tells_its_columns(tmp_path: Path, kind: str) -> None:
    def schema(first: int, rows: int) -> str:
        part = sink_of(kind).part(tmp_path / "part")
        part.write(some(first, rows))
        part.close()
        return part.schema

    assert schema(0, 3) == schema(3, 12) != ""
    assert "score" in schema(0, 1)


def answer(**columns: Column) -> Scored:
    rows = len(next(iter(columns.values())))
    return Scored({}, Batch(columns, rows))


def test_a_free_dimension_has_one_type_whatever_the_rows_are(tmp_path: Path, kind: str) -> None:
    spec = ModelSpec(outputs=(TensorSpec("y", DataType.FP32, (None,)),))
    one, two = Dense(np.ones((2, 1), np.float32)), Dense(np.ones((2, 2), np.float32))
    ragged = Ragged(Dense(np.ones(3, np.float32)), np.array([0, 0, 3]))
    schemas = set()
    for column in (one, two, ragged):
        part = sink_of(kind, spec).part(tmp_path / "part")
        part.write(answer(y=column))
        part.close()
        schemas.add(part.schema)
    assert len(schemas) == 1
    path = tmp_path / "all"
    write(sink_of(kind, spec), path, [answer(y=one), answer(y=two), answer(y=ragged)])
    wanted = [[1.0], [1.0], [1.0, 1.0], [1.0, 1.0], [], [1.0, 1.0, 1.0]]
    read = [row["y"] for row in rows_of(path, kind)]
    assert (read if kind != "csv" else [json.loads(cell) for cell in read]) == wanted


@pytest.mark.parametrize("told", [True, False])
def test_vectors_of_a_model_that_tells_nothing_may_differ_in_length(tmp_path: Path, kind: str, told: bool) -> None:
    spec = ModelSpec(outputs=(TensorSpec("y"),) if told else None)
    path = tmp_path / "part"
    write(sink_of(kind, spec), path, [answer(y=Dense(np.ones((1, 3)))), answer(y=Dense(np.ones((1, 2))))])
    read = [row["y"] for row in rows_of(path, kind)]
    assert [json.loads(cell) if isinstance(cell, str) else cell for cell in read] == [[1.0] * 3, [1.0] * 2]


def test_half_floats_bfloat16_and_flags_are_read_as_they_were(tmp_path: Path, kind: str) -> None:
    spec = ModelSpec(outputs=(TensorSpec("h", DataType.FP16, ()), TensorSpec("b", DataType.BF16, (2,)),
                              TensorSpec("f", DataType.BOOL, ())))  # fmt: skip
    bits = np.array([[0x3F80, 0x4000], [0xBF80, 0x0000]], np.uint16)
    half = np.array([0.1, -2], np.float16)
    path = tmp_path / "part"
    write(sink_of(kind, spec), path, [answer(h=Dense(half), b=Dense(bits), f=Dense(np.array([True, False])))])
    read = rows_of(path, kind)
    assert [np.float16(row["h"]) for row in read] == half.tolist()
    b = [[float(row["b_0"]), float(row["b_1"])] if kind == "csv" else row["b"] for row in read]
    assert b == [[1.0, 2.0], [-1.0, 0.0]]
    assert [row["f"] for row in read] == (["true", "false"] if kind == "csv" else [True, False])


def test_numbers_that_are_none(tmp_path: Path, kind: str) -> None:
    column = Dense(np.array([math.nan, math.inf, -math.inf, 1.5]), np.array([True, True, True, False]))
    path = tmp_path / "part"
    write(sink_of(kind, ModelSpec()), path, [answer(y=column)])
    read = [row["y"] for row in rows_of(path, kind)]
    wanted = {"csv": ["NaN", "inf", "-inf", ""], "jsonl": [None] * 4, "parquet": [math.nan, math.inf, -math.inf, None]}
    assert str(read) == str(wanted[kind])


def test_rows_of_no_values(tmp_path: Path, kind: str) -> None:
    spec = ModelSpec(outputs=(TensorSpec("y", DataType.FP32, (0,)), TensorSpec("z", DataType.INT64, (2, 0))))
    path = tmp_path / "part"
    rows = answer(y=Dense(np.zeros((2, 0), np.float32)), z=Dense(np.zeros((2, 2, 0), np.int64)))
    write(sink_of(kind, spec), path, [rows])
    read = [(row["y"], row["z"]) for row in rows_of(path, kind)]
    assert [tuple(json.loads(c) if isinstance(c, str) else c for c in row) for row in read] == [([], [[], []])] * 2


KEYS: dict[str, tuple[Callable[[], Any], list[Any], list[str]]] = {
    "integers": (lambda: pa.array([1, None, 3]), [1, None, 3], ["1", "", "3"]),
    "large integers": (lambda: pa.array([2**63], pa.uint64()), [2**63], [str(2**63)]),
    "floats": (lambda: pa.array([0.1, None], pa.float32()), [0.1, None], ["0.1", ""]),
    "flags": (lambda: pa.array([True, None]), [True, None], ["true", ""]),
    "text": (lambda: pa.array(["007", "", None, "é,"]), ["007", "", None, "é,"], ["007", "", "", "é,"]),
    "views": (lambda: pa.array(["a", None], pa.string_view()), ["a", None], ["a", ""]),
    "chunks": (lambda: pa.chunked_array([["a"], [None, "b"]]), ["a", None, "b"], ["a", "", "b"]),
    "dictionaries": (lambda: pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"], ["a", "", "a"]),
    "times": (
        lambda: pa.array([0, None, 1_600_000_000_000_001], pa.timestamp("us")),
        ["1970-01-01T00:00:00.000000", None, "2020-09-13T12:26:40.000001"],
        ["1970-01-01T00:00:00.000000", "", "2020-09-13T12:26:40.000001"],
    ),
    "times of a zone": (
        lambda: pa.array([0, 1], pa.timestamp("s", "Europe/Berlin")),
        ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"],
        ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"],
    ),
    "dates": (lambda: pa.array([0, None], pa.date32()), ["1970-01-01", None], ["1970-01-01", ""]),
    "durations": (lambda: pa.array([5, None], pa.duration("s")), [5, None], ["5", ""]),
    "decimals": (lambda: pa.array(["1.50", None]).cast(pa.decimal128(5, 2)), [1.5, None], ["1.50", ""]),
    "lists": (lambda: pa.array([[1, 2], None, []]), [[1, 2], None, []], ["[1,2]", "", "[]"]),
    "structs": (lambda: pa.array([{"a": 1}]), [{"a": 1}], ['{"a":1}']),
    "numpy integers": (lambda: np.array([1, 2], np.int8), [1, 2], ["1", "2"]),
    "numpy text": (lambda: np.array(["a", "b,"]), ["a", "b,"], ["a", "b,"]),
    "numpy days": (lambda: np.array(["2020-01-02"], "M8[D]"), ["2020-01-02"], ["2020-01-02"]),
    "a list of text": (lambda: ["a", None], ["a", None], ["a", ""]),
    "a list of numbers": (
        lambda: [2**70, None, 1.5, float("nan")],
        [2**70, None, 1.5, None],
        [str(2**70), "", "1.5", "NaN"],
    ),
    "a list of all": (
        lambda: ["a", 1, [1, "x"], None, True],
        ["a", 1, [1, "x"], None, True],
        ["a", "1", '[1,"x"]', "", "true"],
    ),
}


@pytest.mark.parametrize("case", KEYS)
def test_keys_of_every_kind_stand_in_lines_of_text(tmp_path: Path, case: str) -> None:
    make, in_json, in_csv = KEYS[case]
    cells = make()
    scored = Scored({"k": cells}, Batch({"y": Dense(np.arange(len(cells)))}, len(cells)))
    write(sink_of("jsonl", ModelSpec()), tmp_path / "j", [scored])
    write(sink_of("csv", ModelSpec()), tmp_path / "c", [scored])
    assert [row["k"] for row in rows_of(tmp_path / "j", "jsonl")] == in_json
    assert [row["k"] for row in rows_of(tmp_path / "c", "csv")] == in_csv


@pytest.mark.parametrize("case", [case for case in KEYS if not case.startswith("a list of ") or "text" in case])
def test_keys_of_every_kind_stand_in_parquet_as_they_were(tmp_path: Path, case: str) -> None:
    cells = KEYS[case][0]()
    scored = Scored({"k": cells}, Batch({"y": Dense(np.arange(len(cells)))}, len(cells)))
    write(sink_of("parquet", ModelSpec()), tmp_path / "p", [scored])
    wanted = cells.to_pylist() if hasattr(cells, "to_pylist") else pa.array(cells).to_pylist()
    assert [row["k"] for row in rows_of(tmp_path / "p", "parquet")] == wanted


def test_blocks_that_concat_write_the_same(tmp_path: Path, kind: str) -> None:
    joined = concat([some(0, 4).answer, some(4, 4).answer])
    one = write(sink_of(kind, SPEC), tmp_path / "a", [Scored({}, joined)])
    two = write(sink_of(kind, SPEC), tmp_path / "b", [Scored({}, some(0, 4).answer), Scored({}, some(4, 4).answer)])
    assert one == two
