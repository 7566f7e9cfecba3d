"""What CSV, JSON Lines and Parquet look like, and what they refuse."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.batch.block import Scored
from foretell.batch.joins.registry import join
from foretell.batch.sinks.registry import open_sink
from foretell.columns import Batch, Bytes, Column, Dense
from foretell.errors import InvalidInput, InvalidSetting, ModelError
from foretell.forms.texts import csv_texts, json_texts
from foretell.types import DataType, ModelSpec, TensorSpec


def written(tmp_path: Path, kind: str, spec: ModelSpec, pieces: list[Scored], stamp: Any = None) -> bytes:
    part = open_sink(kind, spec, {}, stamp or {}, 4).part(tmp_path / "part")
    try:
        for piece in pieces:
            part.write(piece)
    finally:
        part.close()
    return (tmp_path / "part").read_bytes()


def rows(keys: dict[str, Any], **columns: Column) -> Scored:
    return Scored(keys, Batch(columns, len(next(iter(columns.values())))))


def test_csv_spreads_a_vector_over_columns_of_its_labels(tmp_path: Path) -> None:
    tensors = tuple(TensorSpec(name, DataType.FP32, (2,)) for name in ("p", "q"))
    spec = ModelSpec(outputs=tensors, labels={"p": ("cat", "dog"), "q": ("a b", "c,d")})
    data = Dense(np.array([[0.25, 0.75], [1, 0]], np.float32))
    content = written(tmp_path, "csv", spec, [rows({"id": ["x", "y"]}, p=data, q=data)], {"model": "m"})
    assert content == b"id,p_cat,p_dog,q_0,q_1,model\nx,0.25,0.75,0.25,0.75,m\ny,1.0,0.0,1.0,0.0,m\n"


def test_csv_spreads_words_and_empties_a_null_row(tmp_path: Path) -> None:
    spec = ModelSpec(outputs=(TensorSpec("w", DataType.BYTES, (2,)),))
    made = Bytes.of(["a", "b,", "", "d"], (2,))
    column = Bytes(made.offsets, made.data, (2,), np.array([True, False]))
    assert written(tmp_path, "csv", spec, [rows({"k": [1, 2]}, w=column)]) == b'k,w_0,w_1\n1,a,"b,"\n2,,\n'


def test_json_lines_hold_one_object_a_line(tmp_path: Path) -> None:
    data = Dense(np.array([[0.1, 1e-7]], np.float32))
    content = written(tmp_path, "jsonl", ModelSpec(), [rows({'a"b': ["x\ny"]}, p=data)])
    assert content == b'{"a\\"b":"x\\ny","p":[0.1,1e-7]}\n'


def test_a_row_of_one_empty_cell_is_a_line(tmp_path: Path) -> None:
    column = Dense(np.array([1.0, 2.0]), np.array([False, True]))
    assert written(tmp_path, "csv", ModelSpec(), [rows({}, y=column)]) == b'y\n""\n2.0\n'


def test_names_of_columns_are_quoted_and_left_out_where_parts_join(tmp_path: Path) -> None:
    sink = open_sink("csv", ModelSpec(), {}, {}, 4)
    for name in "ab":
        part = sink.part(tmp_path / name)
        part.write(rows({'two\n"lines"': [name]}, y=Dense(np.array([1]))))
        part.close()
    join("csv", [tmp_path / "a", tmp_path / "b"], tmp_path / "joined")
    with (tmp_path / "joined").open(newline="") as file:
        assert list(csv.reader(file)) == [['two\n"lines"', "y"], ["a", "1"], ["b", "1"]]


def test_csv_refuses_two_columns_of_one_name(tmp_path: Path) -> None:
    spec = ModelSpec(outputs=(TensorSpec("p", DataType.FP32, (2,)),))
    with pytest.raises(InvalidSetting, match="two columns 'p_1'"):
        written(tmp_path, "csv", spec, [rows({"p_1": ["x"]}, p=Dense(np.ones((1, 2), np.float32)))])


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("where", ["key", "output"])
def test_text_refuses_bytes_that_are_no_text_and_names_the_column(tmp_path: Path, kind: str, where: str) -> None:
    binary = Bytes.of([b"\xff\xfe"])
    wrong = rows({"k": np.array([b"\xff"])}, y=Bytes.of(["a"])) if where == "key" else rows({}, y=binary)
    with pytest.raises(InvalidInput, match=f"column '{'k' if where == 'key' else 'y'}' holds bytes .* write Parquet"):
        written(tmp_path, kind, ModelSpec(), [wrong])


def test_half_a_character_is_no_text_although_the_next_cell_holds_the_other_half(tmp_path: Path) -> None:
    first, second = "é".encode()[:1], "é".encode()[1:]
    with pytest.raises(UnicodeDecodeError):
        json_texts(Bytes.of([first, second]))


def test_parquet_holds_bytes_that_are_no_text(tmp_path: Path) -> None:
    written(tmp_path, "parquet", ModelSpec(), [rows({}, y=Bytes.of([b"\xff", b"\x00"]))])
    assert pq.read_table(tmp_path / "part")["y"].to_pylist() == [b"\xff", b"\x00"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_outputs_that_come_and_go_are_refused(tmp_path: Path, kind: str) -> None:
    one = Dense(np.array([1]))
    with pytest.raises(ModelError, match="expected"):
        written(tmp_path, kind, ModelSpec(), [rows({}, y=one), rows({}, y=one, z=one)])


def test_parquet_refuses_an_output_that_changes_its_type(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"column 'y' has another type .* expected int64, got double"):
        written(tmp_path, "parquet", ModelSpec(), [rows({}, y=Dense(np.array([1]))), rows({}, y=Dense(np.ones(1)))])


def test_parquet_refuses_a_key_that_changes_its_type(tmp_path: Path) -> None:
    one = Dense(np.array([1]))
    with pytest.raises(InvalidInput, match=r"key 'k' has another type .* expected int64, got string"):
        written(tmp_path, "parquet", ModelSpec(), [rows({"k": [1]}, y=one), rows({"k": ["a"]}, y=one)])
    with pytest.raises(InvalidInput, match="key 'k' have no common type"):
        written(tmp_path, "parquet", ModelSpec(), [rows({"k": [1, "a"]}, y=Dense(np.array([1, 2])))])


def test_a_key_without_any_value_takes_the_type_of_those_that_come(tmp_path: Path) -> None:
    one = Dense(np.array([1]))
    pieces = [rows({"k": [None]}, y=one), rows({"k": ["a"]}, y=one), rows({"k": [None]}, y=one)]
    written(tmp_path, "parquet", ModelSpec(), pieces)
    assert pq.read_table(tmp_path / "part")["k"].to_pylist() == [None, "a", None]


@given(st.lists(st.text(st.characters(codec="utf-8")) | st.none(), min_size=1, max_size=20))
def test_any_text_survives_csv_and_json(items: list[str | None]) -> None:
    content = b"k,t\n" + b"".join(b"0," + text + b"\n" for text in csv_texts(Bytes.of(items)))
    read = [row[1] for row in csv.reader(io.StringIO(content.decode(), newline=""), strict=True)][1:]
    assert read == [item or "" for item in items]
    import orjson

    assert [orjson.loads(text) for text in json_texts(Bytes.of(items))] == items


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_a_float_has_as_few_digits_as_give_it_back(numbers: list[float]) -> None:
    data = np.array(numbers, np.float32)
    read = np.array([np.float32(text) for text in csv_texts(Dense(data))])
    np.testing.assert_array_equal(read, data)
    assert max(map(len, csv_texts(Dense(data)))) <= 16
