"""Values, rows and shapes that a type, a model or an answer in JSON does not hold."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from oip_requests import binary, body, post, tensor
from served_models import Echo, InlineEcho, Pair, Poison, Scores, Untold
from wire import infer, infer_body, values

from foretell.types import DataType


class TestTypes:
    @pytest.mark.parametrize(
        ("datatype", "value"),
        [
            ("INT8", 128), ("INT8", -129), ("UINT8", -1), ("UINT8", 256), ("INT16", 2**15), ("UINT16", -1),
            ("INT32", 2**31), ("UINT32", 2**32), ("UINT32", -1), ("INT64", 2**63), ("INT64", -(2**63) - 1),
            ("UINT64", 2**64), ("UINT64", -1), ("INT64", 10**40), ("INT32", 1.0), ("INT32", 1.5), ("INT32", True),
            ("INT32", "1"), ("INT32", None), ("INT32", float("nan")), ("FP32", "NaN"), ("FP32", 3.5e38), ("FP64", "1"),
            ("FP64", False), ("BOOL", 1), ("BOOL", 0), ("BOOL", "true"), ("BOOL", None), ("BYTES", 1), ("BYTES", None),
            ("BYTES", True), ("FP16", 1.0), ("BF16", 1.0),
        ],
    )  # fmt: skip
    def test_a_value_the_type_does_not_hold(self, serve: Any, datatype: str, value: Any) -> None:
        server = serve(echo=Echo(DataType(datatype), (1,)))
        answer = post(server, infer_body([value], datatype=datatype))
        assert answer.status == 400
        assert "input 'x'" in answer.error

    @pytest.mark.parametrize("datatype", ["FP32", "FP64"])
    def test_nan_and_the_infinities_come_and_go_as_tokens(self, serve: Any, datatype: str) -> None:
        server = serve(echo=Echo(DataType(datatype), (2,)))
        text = infer_body([0], shape=[2, 2], datatype=datatype).replace(b"[0]", b"[NaN, 1.5, -Infinity, Infinity]")
        answer = post(server, text)
        assert answer.body.endswith(b'"data":[NaN,1.5,-Infinity,Infinity]}]}')
        nested = text.replace(b"[NaN, 1.5, -Infinity, Infinity]", b"[[NaN, 1.5], [-Infinity, Infinity]]")
        assert post(server, nested).body == answer.body

    def test_half_surrogates_in_text_beside_nan(self, serve: Any) -> None:
        server = serve(pair=Pair())
        text = body(
            {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, float("nan")]},
            {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["\ud800"]},
        )
        assert post(server, text, model="pair").status == 400

    def test_inputs_with_different_rows(self, serve: Any) -> None:
        server = serve(pair=Pair())
        text = body(
            {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]},
            {"name": "t", "shape": [3], "datatype": "BYTES", "data": ["a", "b", "c"]},
        )
        answer = post(server, text, model="pair")
        assert answer.status == 400
        assert "number of rows" in answer.error

    def test_fp16_and_bf16_have_no_json_answer(self, serve: Any) -> None:
        server = serve(echo=Echo(DataType.FP16, (2,)), brain=Echo(DataType.BF16, (2,)))
        for model, datatype in (("echo", "FP16"), ("brain", "BF16")):
            head = {"inputs": [tensor(shape=[1, 2], datatype=datatype, data=None, parameters={"binary_data_size": 4})]}
            answer = post(server, *binary(head, bytes(4)), model=model)
            assert answer.status == 400
            assert "binary" in answer.error

    def test_text_that_is_none_has_no_json_answer(self, serve: Any) -> None:
        server = serve(echo=Echo(DataType.BYTES, (1,)))
        head = {"inputs": [tensor(shape=[1, 1], datatype="BYTES", data=None, parameters={"binary_data_size": 5})]}
        answer = post(server, *binary(head, struct.pack("<I", 1) + b"\xff"))
        assert answer.status == 400
        assert "output 'y'" in answer.error
        assert "binary" in answer.error

    def test_classes_of_text(self, serve: Any) -> None:
        server = serve(pair=Pair())
        text = body(
            {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
            {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["a"]},
            outputs=[{"name": "text", "parameters": {"classification": 1}}],
        )
        assert post(server, text, model="pair").status == 400


class TestShapesOfUnknownModels:
    """Where the model does not tell its inputs, only the limits of the server stand."""

    @pytest.mark.parametrize(
        ("shape", "data"),
        [
            ([0, 10**30], []), ([0, 2**62, 2**62], []), ([10**30, 0], []), ([2**40, 0], []), ([10_000_000, 0], []),
            ([1] * 70, [1.0]), ([1] * 10_000, [1.0]), ([0] * 100, []), ([2**31, 2**31], []),
        ],
    )  # fmt: skip
    def test_a_shape_nobody_can_mean(self, serve: Any, shape: list[int], data: list[float]) -> None:
        server = serve(echo=Untold(), free=InlineEcho(None, None), text=Echo(DataType.BYTES, None))
        for model in ("echo", "free"):
            answer = post(server, body(tensor(shape=shape, data=data)), model=model)
            assert answer.status == 400, answer.body[:300]
            assert answer.error
            head = {"inputs": [tensor(shape=shape, data=None, parameters={"binary_data_size": 4 * len(data)})]}
            assert post(server, *binary(head, bytes(4 * len(data))), model=model).status == 400
            assert values(server.ask(infer(model, [1])), "x" if model == "echo" else "y") == [1]
        assert post(server, body(tensor(shape=shape, data=[], datatype="BYTES")), model="text").status == 400

    def test_deep_nesting_beside_a_deep_shape(self, serve: Any) -> None:
        server = serve(echo=Untold())
        shape = [1] * 90
        data: Any = 1.0
        for _ in shape:
            data = [data]
        assert post(server, body(tensor(shape=shape, data=data))).status == 400

    def test_rows_without_values_are_rows(self, serve: Any) -> None:
        server = serve(echo=Untold())
        answer = post(server, body(tensor(shape=[3, 0], data=[])))
        assert answer.json["outputs"] == [{"name": "x", "datatype": "FP32", "shape": [3, 0], "data": []}]

    def test_no_rows_are_an_answer_too(self, serve: Any) -> None:
        server = serve(echo=Echo(DataType.FP32, (2,)))
        answer = post(server, body(tensor(shape=[0, 2], data=[])))
        assert answer.json["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [0, 2], "data": []}]


def test_a_model_may_refuse_rows(serve: Any) -> None:
    server = serve(poison=Poison())
    answer = post(server, infer_body([1, float("nan"), 3]), model="poison")
    assert answer.status == 400
    assert answer.error.startswith("row 1: ")
    assert "NaN" in answer.error
    assert post(server, infer_body([1, 666, 3]), model="poison").status == 500


def test_classes_more_than_there_are(serve: Any) -> None:
    server = serve(scores=Scores())
    text = body(
        {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0.1, 0.7, 0.2]},
        outputs=[{"name": "scores", "parameters": {"classification": 2**62}}],
    )
    (output,) = post(server, text, model="scores").json["outputs"]
    assert output["shape"] == [1, 3]
    assert output["data"] == ["0.700000:1:dog", "0.200000:2:owl", "0.100000:0:cat"]


def test_classes_of_bfloat16_are_ranked_by_what_their_bits_mean(serve: Any) -> None:
    server = serve(echo=Echo(DataType.BF16, (2,)))
    asked = {"name": "y", "parameters": {"classification": 2}}
    bits = struct.pack("<2H", 0x3F80, 0xC000)  # 1 and -2
    given = tensor(shape=[1, 2], datatype="BF16", data=None, parameters={"binary_data_size": len(bits)})
    answer = post(server, *binary({"inputs": [given], "outputs": [asked]}, bits))
    assert answer.json["outputs"][0]["data"] == ["1.000000:0", "-2.000000:1"]
