"""Tensor types and specs."""

from __future__ import annotations

import numpy as np
import pytest

from foretell.types import DataType, Identity, ModelSpec, TensorSpec


@pytest.mark.parametrize("datatype", [d for d in DataType if d not in {DataType.BYTES, DataType.BF16}])
def test_every_number_type_survives_numpy_and_back(datatype: DataType) -> None:
    assert DataType.of(datatype.numpy) is datatype
    assert DataType.of(datatype.numpy.newbyteorder(">")) is datatype


def test_bf16_travels_as_its_bits() -> None:
    assert DataType.BF16.numpy == np.uint16
    assert DataType.of(np.dtype(np.uint16)) is DataType.UINT16


def test_bytes_has_no_numpy_type() -> None:
    with pytest.raises(TypeError, match="Bytes column"):
        _ = DataType.BYTES.numpy


@pytest.mark.parametrize("dtype", ["S4", "U4", "O"])
def test_text_of_any_kind_is_bytes(dtype: str) -> None:
    assert DataType.of(np.dtype(dtype)) is DataType.BYTES


@pytest.mark.parametrize("dtype", ["c16", "M8[s]", "m8[s]", "V3", "f16"])
def test_other_numpy_types_are_no_tensor_type(dtype: str) -> None:
    assert DataType.of(np.dtype(dtype)) is None


def test_kinds_of_numbers() -> None:
    assert {d for d in DataType if d.is_float} == {DataType.FP16, DataType.FP32, DataType.FP64, DataType.BF16}
    assert {d for d in DataType if d.is_integer} == {d for d in DataType if "INT" in d.value}


@pytest.mark.parametrize(
    ("shape", "width"), [((), 1), ((4,), 4), ((2, 3), 6), ((0, 3), 0), ((None,), None), ((3, None), None), (None, None)]
)
def test_width_is_the_number_of_values_in_a_row(shape: tuple[int | None, ...] | None, width: int | None) -> None:
    assert TensorSpec("x", DataType.FP32, shape).width == width


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (TensorSpec("x", DataType.FP32, (4,)), "FP32[-1, 4]"),
        (TensorSpec("x", DataType.INT64, (None, 2)), "INT64[-1, -1, 2]"),
        (TensorSpec("x", DataType.BYTES, ()), "BYTES[-1]"),
        (TensorSpec("x"), "any type[-1, ...]"),
    ],
)
def test_a_spec_describes_itself(spec: TensorSpec, text: str) -> None:
    assert spec.describe() == text
    assert spec.describe(rows=False) == text.replace("[-1, ", "[", 1).replace("[-1]", "[]")


def test_a_spec_finds_its_tensors_by_name() -> None:
    x, y = TensorSpec("x"), TensorSpec("y")
    spec = ModelSpec(inputs=(x,), outputs=(y,))
    assert (spec.input("x"), spec.output("y")) == (x, y)
    assert spec.input("y") is None
    assert ModelSpec().input("x") is None
    assert ModelSpec().output("y") is None


@pytest.mark.parametrize(
    ("changes", "mergeable"),
    [
        ({}, True),
        ({"batch": 1}, True),
        ({"batch": None}, False),
        ({"row_wise": False}, False),
        ({"stateful": True}, False),
    ],
)
def test_rows_share_a_call_only_where_that_changes_no_answer(changes: dict[str, object], mergeable: bool) -> None:
    assert ModelSpec().with_changes(**changes).mergeable is mergeable


def test_changing_a_spec_leaves_the_original() -> None:
    spec = ModelSpec()
    assert spec.with_changes(batch=8).batch == 8
    assert spec.batch == "any"


def test_the_key_of_an_identity_tells_every_part_apart() -> None:
    parts = [
        ("m", "1", "d", "v"),
        ("m1", "", "d", "v"),
        ("m", "1d", "", "v"),
        ("m", "1", "dv", ""),
        ("m", "1", "d", "w"),
    ]
    assert len({Identity(*part).key for part in parts}) == len(parts)


def test_an_identity_without_a_digest_does_not_last() -> None:
    assert Identity("m", "1", "sha256:00", "v").lasting
    assert not Identity("m", "1", "", "v").lasting
