"""Arrays in files: rows of any shape, in either order of axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.batch.inputs import find_inputs
from foretell.batch.job import Condition, Data
from foretell.batch.shards import ShardSize
from foretell.batch.sources.registry import open_source
from foretell.batch.sources.source import Source
from foretell.errors import InvalidInput
from foretell.types import DataType, ModelSpec, TensorSpec


def source_of(folder: Path) -> Source:
    kind, files = find_inputs(folder)
    return open_source(Data(kind, tuple(files)))


def read(source: Source, size: ShardSize, rows: int) -> list[Any]:
    made: list[Any] = []
    for shard in source.shards(size):
        at = shard.first_row
        for block in source.read(shard, ["rows"], rows):
            assert (block.file, block.first_row) == (shard.file, at)
            assert block.rows == len(block.columns["rows"]) <= rows
            at += block.rows
            made.append(block.columns["rows"])
        assert at == shard.first_row + (shard.rows or 0)
    return made


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(23,), (23, 4), (23, 2, 3), (23, 2, 3, 2), (23, 0), (0, 4)])
@pytest.mark.parametrize("dtype", ["<f4", ">i8", "bool", "<U3"])
def test_every_row_is_read_once_and_in_order(tmp_path: Path, order: Any, shape: tuple[int, ...], dtype: str) -> None:
    array = np.asarray(np.arange(np.prod(shape)).reshape(shape).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", array)
    made = read(source_of(tmp_path), ShardSize(rows=7), 3)
    if shape[0]:
        np.testing.assert_array_equal(np.concatenate(made), array)
    assert bool(made) == bool(shape[0])


def test_rows_count_in_each_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2))
    np.save(tmp_path / "b.npy", np.arange(10).reshape(5, 2))
    source = source_of(tmp_path)
    assert [(field.name, field.kind, field.described) for field in source.fields()] == [("rows", "number", "int64[2]")]
    assert np.concatenate(read(source, ShardSize(rows=2), 2))[:, 0].tolist() == [0, 2, 4, 0, 2, 4, 6, 8]


@pytest.mark.parametrize("other", [np.zeros((2, 3)), np.zeros((2, 2), np.float32)])
def test_files_of_another_kind_are_named(tmp_path: Path, other: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    np.save(tmp_path / "b.npy", other)
    with pytest.raises(InvalidInput, match=r"b\.npy: column 'rows' has another type .* expected float64\[2\]"):
        source_of(tmp_path).fields()


BAD: dict[str, tuple[Any, str]] = {
    "no bytes": (b"", "not a readable .npy file"),
    "other bytes": (b"\x00" * 400, "not a readable .npy file"),
    "a header that does not end": (b"\x93NUMPY\x01\x00\xff\xff{'descr'", "not a readable .npy file"),
    "objects": (np.array([{}, []], object), "this is no array of rows; .*|got Python objects"),
    "records": (np.zeros(3, [("a", "f4")]), "got records"),
    "a single value": (np.array(1.0), "got a single value"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_array_is_named(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    if isinstance(content, bytes):
        (tmp_path / "a.npy").write_bytes(content)
    else:
        np.save(tmp_path / "a.npy", content, allow_pickle=True)
    with pytest.raises(InvalidInput, match=rf"a\.npy: .*({message})"):
        source_of(tmp_path).fields()


def test_a_file_with_fewer_rows_than_it_says_is_refused_before_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1000, 2)))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-100])
    with pytest.raises(InvalidInput, match=r"a\.npy: the file has fewer rows than it says; expected 1,000, got 993"):
        source_of(tmp_path).fields()


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_that_becomes_shorter_is_named_and_ends_nothing_else(tmp_path: Path, order: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1000, 2), order=order))
    source = source_of(tmp_path)
    shards = source.shards(ShardSize(rows=100))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:5000])
    with pytest.raises(InvalidInput, match=r"a\.npy: the file is shorter than it was"):
        list(source.read(shards[-1], ["rows"], 10))


def _headed(path: Path, head: str) -> Path:
    text = head.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24))
    return path


@pytest.mark.parametrize(
    "described", ["'<f4', 'shape': (-5, 3)", "'<f4', 'shape': (1000000000000000000, 0)",
                  "('<f4', (3,)), 'shape': (2,)"],
)  # fmt: skip
def test_a_shape_that_no_rows_have_is_refused(tmp_path: Path, described: str) -> None:
    path = _headed(tmp_path / "a.npy", f"{{'fortran_order': False, 'descr': {described}}}")
    with pytest.raises(InvalidInput, match="this is no array of rows"):
        source_of(path).fields()


@pytest.mark.parametrize("array", [np.zeros((5, 4)), np.zeros(5), np.zeros((5, 3), np.complex64)])
def test_what_does_not_fit_the_model_is_said_before_a_row_is_read(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "a.npy", array)
    source = source_of(tmp_path)
    source.suit(ModelSpec(inputs=(TensorSpec("x", DataType.FP32, (3,)),)), {"x": ("rows",)})
    with pytest.raises(InvalidInput, match=r"a\.npy: (wrong shape|this kind of array)"):
        source.check(("rows",))


def test_a_condition_needs_rows_of_one_value(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 2)))
    with pytest.raises(InvalidInput, match="rows of several values"):
        source_of(tmp_path).narrow([Condition("rows", ">", 1)])
