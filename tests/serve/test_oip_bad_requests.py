"""Requests that do not fit, each answered with one sentence and the right status; the server goes on."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from served_models import Echo, InlineEcho, Pair, Poison, Scores, Untold
from serving import Running
from wire import Answer, http, infer, infer_body, values

from foretell.types import DataType


def post(server: Running, body: bytes, headers: dict[str, object] | None = None, model: str = "echo") -> Answer:
    return server.ask(http("POST", f"/v2/models/{model}/infer", body, headers or {"Content-Length": len(body)}))


def tensor(**changes: Any) -> dict[str, Any]:
    """A good input of `Echo`; a change to None leaves the key out."""
    whole = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4], **changes}
    return {key: value for key, value in whole.items() if value is not None}


def body(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


def binary(head: dict[str, Any], *blobs: bytes) -> tuple[bytes, dict[str, object]]:
    text = json.dumps(head).encode()
    return b"".join([text, *blobs]), {"Inference-Header-Content-Length": len(text)}


@pytest.fixture
def echo(serve: Any) -> Running:
    """FP32 [-1, 2]."""
    return serve(echo=Echo(DataType.FP32, (2,)))  # type: ignore[no-any-return]


MANY = 70_000

BODIES = {
    "nothing": b"",
    "spaces": b"   ",
    "no JSON": b"hello",
    "half of it": body(tensor())[:-9],
    "something after it": body(tensor()) + b"{}",
    "a NUL after it": body(tensor()) + b"\x00",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "an empty object": b"{}",
    "inputs of another kind": b'{"inputs":{}}',
    "inputs null": b'{"inputs":null}',
    "no inputs": body(),
    "an input of another kind": b'{"inputs":[1]}',
    "an input null": b'{"inputs":[null]}',
    "invalid UTF-8 in a name": body(tensor()).replace(b'"x"', b'"\xff\xfe"'),
    "half a surrogate in a name": body(tensor()).replace(b'"x"', b'"\\ud800"'),
    "half a surrogate in a name, and NaN": body(tensor(data=[1, 2, 3, float("nan")])).replace(b'"x"', b'"\\ud800"'),
    "half a surrogate in the id, and NaN": b'{"id":"\\ud800",' + body(tensor(data=[1, 2, 3, float("nan")]))[1:],
    "UTF-16": json.dumps({"inputs": [tensor()]}).encode("utf-16"),
    "100,000 levels": b"[" * 100_000,
    "100,000 levels, closed": b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 levels in the data": body(tensor()).replace(b"[1, 2", b"[" * 100_000 + b"1, 2"),
    "100,000 levels in an unknown key": b'{"more":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "100,000 levels and NaN": b'{"inputs":[NaN],"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "an id of another kind": body(tensor(), id=5),
    "parameters of another kind": body(tensor(), parameters=[]),
    "a nested parameter": body(tensor(), parameters={"a": {"b": 1}}),
    "a reserved parameter": body(tensor(), parameters={"triton_x": 1}),
    "a timeout in words": body(tensor(), parameters={"timeout": "soon"}),
    "a negative timeout": body(tensor(), parameters={"timeout": -1}),
    "a timeout true": body(tensor(), parameters={"timeout": True}),
    "a fractional sequence": body(tensor(), parameters={"sequence_id": 1.5}),
    "a negative sequence": body(tensor(), parameters={"sequence_id": -1}),
    "a sequence start in words": body(tensor(), parameters={"sequence_id": 1, "sequence_start": "yes"}),
    "binary output in words": body(tensor(), parameters={"binary_data_output": "false"}),
    "a priority in words": body(tensor(), parameters={"priority": "high"}),
    "outputs of another kind": body(tensor(), outputs={}),
    "an unknown output": body(tensor(), outputs=[{"name": "z"}]),
    "an output twice": body(tensor(), outputs=[{"name": "y"}, {"name": "y"}]),
    "an output twice, many times": body(tensor(), outputs=[{"name": "y"}] * MANY),
    "an output without a name": body(tensor(), outputs=[{}]),
    "an output in shared memory": body(tensor(), outputs=[{"name": "y", "parameters": {"shared_memory_region": "r"}}]),
    "an output's binary in words": body(tensor(), outputs=[{"name": "y", "parameters": {"binary_data": "no"}}]),
    "classes in words": body(tensor(), outputs=[{"name": "y", "parameters": {"classification": "3"}}]),
    "negative classes": body(tensor(), outputs=[{"name": "y", "parameters": {"classification": -1}}]),
    "an input twice": body(tensor(), tensor()),
    "an input missing": body(tensor(name="other")),
    "an input too many": body(tensor(), tensor(name="more")),
    "many inputs too many": body(tensor(), *[tensor(name=f"more{n}", data=[]) for n in range(MANY // 10)]),
    "an input without a name": body(tensor(name=None)),
    "a very long name": body(tensor(name="x" * 1_000_000)),
    "another datatype": body(tensor(datatype="INT32")),
    "an unknown datatype": body(tensor(datatype="FP33")),
    "a datatype in small letters": body(tensor(datatype="fp32")),
    "a very long datatype": body(tensor(datatype="F" * 1_000_000)),
    "a datatype of another kind": body(tensor(datatype=1)),
    "no datatype": body(tensor(datatype=None)),
    "no shape": body(tensor(shape=None)),
    "an empty shape": body(tensor(shape=[], data=[1])),
    "a shape of fractions": body(tensor(shape=[2.5, 2])),
    "a shape in words": body(tensor(shape=["2", "2"])),
    "a negative shape": body(tensor(shape=[-2, -2])),
    "a shape of -1": body(tensor(shape=[-1, 2])),
    "rows unlike the data": body(tensor(shape=[3, 2])),
    "another width": body(tensor(shape=[1, 4])),
    "another rank": body(tensor(shape=[2, 2, 1])),
    "a huge shape": body(tensor(shape=[2**62, 2])),
    "a shape beyond 64 bits": body(tensor(shape=[2**64, 2])),
    "a shape of 4,000 digits": body(tensor()).replace(b"[2, 2]", b"[" + b"9" * 4000 + b"]"),
    "a shape that overflows": body(tensor(shape=[2**32, 2**32, 2**32])),
    "a shape that overflows to what is there": body(tensor(shape=[2**62 + 2, 2])),
    "a shape of many ranks": body(tensor(shape=[2, 2, *[1] * MANY])),
    "no data": body(tensor(data=None)),
    "data null": body(tensor()).replace(b"[1, 2, 3, 4]", b"null"),
    "data of another kind": body(tensor(data="1234")),
    "an object as data": body(tensor(data={})),
    "too little data": body(tensor(data=[1, 2, 3])),
    "too much data": body(tensor(data=[1, 2, 3, 4, 5])),
    "empty data": body(tensor(data=[])),
    "a word as value": body(tensor(data=[1, 2, 3, "4"])),
    "null as value": body(tensor(data=[1, 2, 3, None])),
    "true as value": body(tensor(data=[1, 2, 3, True])),
    "a value beyond FP32": body(tensor(data=[1, 2, 3, 1e39])),
    "a value beyond FP64": body(tensor()).replace(b", 4]", b", 1e999]"),
    "a value of 4,000 digits": body(tensor()).replace(b", 4]", b", " + b"9" * 4000 + b"]"),
    "a value of 400 digits and NaN": body(tensor()).replace(b"3, 4]", b"NaN, " + b"9" * 400 + b"]"),
    "a value of 5,000 digits and NaN": body(tensor()).replace(b"3, 4]", b"NaN, " + b"9" * 5000 + b"]"),
    "a number JSON does not know": body(tensor()).replace(b", 4]", b", 0x4]"),
    "a number with a leading zero": body(tensor()).replace(b", 4]", b", 04]"),
    "a comma too many": body(tensor()).replace(b", 4]", b", 4,]"),
    "a small nan": body(tensor()).replace(b", 4]", b", nan]"),
    "wrong nesting": body(tensor(data=[[1], [2, 3, 4]])),
    "nesting turned": body(tensor(shape=[2, 2], data=[[1, 2, 3, 4]])),
    "nested and flat": body(tensor(data=[[1, 2], 3, 4])),
    "nesting too deep": body(tensor(data=[[[1], [2]], [[3], [4]]])),
    "wrong nesting and NaN": body(tensor(data=[[1], [2, 3, float("nan")]])),
    "nested and flat and NaN": body(tensor(data=[[1, 2], 3, float("nan")])),
    "data and its size": body(tensor(parameters={"binary_data_size": 16})),
    "a size without a header": body(tensor(data=None, parameters={"binary_data_size": 16})),
    "shared memory": body(tensor(data=None, parameters={"shared_memory_region": "r", "shared_memory_byte_size": 16})),
    "shared memory and data": body(tensor(parameters={"shared_memory_region": "r"})),
    "parsed values smuggled in": body(tensor(data=None, special=[1, 2, 3, 4], values=[1, 2, 3, 4])),
    "a pickle": b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_does_not_fit_is_refused_with_a_sentence(echo: Running, name: str) -> None:
    answer = post(echo, BODIES[name])
    assert answer.status == 400, answer.body[:300]
    assert answer.error
    assert post(echo, body(tensor())).json["outputs"][0]["data"] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["nothing", "a list", "a huge shape", "a value beyond FP32", "no data"])
def test_content_types_of_requests_do_not_matter(echo: Running, name: str) -> None:
    headers: dict[str, object] = {"Content-Type": "application/x-pickle", "Content-Length": len(BODIES[name])}
    assert post(echo, BODIES[name], headers).status == 400


def test_the_sentence_names_tensor_expectation_and_what_came(echo: Running) -> None:
    def error(**changes: Any) -> str:
        return post(echo, body(tensor(**changes))).error

    for text, words in {
        error(name="xx"): ("unknown input 'xx'", "did you mean 'x'"),
        error(datatype="INT64"): ("input 'x'", "model 'echo'", "expected FP32", "got INT64"),
        error(shape=[4, 1]): ("input 'x'", "wrong shape", "expected [-1, 2]", "got [4, 1]"),
        error(data=[1]): ("input 'x'", "expected 4 values for shape [2, 2]", "got 1"),
        error(data=[1, 2, 3, 1e39]): ("input 'x'", "out of range", "FP32"),
        error(data=[1, 2, "3", 4]): ("input 'x'", "float", "str"),
    }.items():
        for word in words:
            assert word in text


class TestBinary:
    good = np.arange(4, dtype="<f4").tobytes()

    def head(self, size: Any = 16, **changes: Any) -> dict[str, Any]:
        return {"inputs": [tensor(data=None, parameters={"binary_data_size": size}, **changes)]}

    @pytest.mark.parametrize("size", [0, 12, 15, 17, 20, -1, -(2**63), 2**63, 2**64, 1.5, "16", True, None])
    def test_a_size_that_lies(self, echo: Running, size: Any) -> None:
        blob = self.good + (b"more" if size == 20 else b"")
        assert post(echo, *binary(self.head(size), blob)).status == 400

    def test_a_blob_that_is_cut_off(self, echo: Running) -> None:
        answer = post(echo, *binary(self.head(), self.good[:-1]))
        assert answer.status == 400
        assert "at most 15 bytes" in answer.error

    def test_bytes_left_over(self, echo: Running) -> None:
        answer = post(echo, *binary(self.head(), self.good, b"x"))
        assert answer.status == 400
        assert "1 bytes are left over" in answer.error
        assert post(echo, *binary({"inputs": [tensor()]}, b"xx")).status == 400

    def test_data_beside_a_blob(self, echo: Running) -> None:
        both = {"inputs": [tensor(parameters={"binary_data_size": 16})]}
        assert post(echo, *binary(both, self.good)).status == 400

    @pytest.mark.parametrize("length", ["x", "-1", "1.5", "+5", "0x10", "", " ", "9" * 30, "99999999", "1_0", "\xb2"])
    def test_a_header_length_that_is_none(self, echo: Running, length: str) -> None:
        text, headers = binary(self.head(), self.good)
        assert post(echo, text, {**headers, "Inference-Header-Content-Length": length}).status == 400

    @pytest.mark.parametrize("change", [-3, 3])
    def test_a_header_length_that_lies(self, echo: Running, change: int) -> None:
        text, headers = binary(self.head(), self.good)
        length = int(str(headers["Inference-Header-Content-Length"])) + change
        assert post(echo, text, {"Inference-Header-Content-Length": length}).status == 400

    def test_a_bool_that_is_none(self, serve: Any) -> None:
        server = serve(echo=Echo(DataType.BOOL, (2,)))
        head = {"inputs": [tensor(datatype="BOOL", data=None, parameters={"binary_data_size": 4})]}
        assert post(server, *binary(head, b"\x00\x01\x02\x01")).status == 400

    @pytest.mark.parametrize(
        "blob",
        [
            b"", b"\x00", b"\x00" * 3, b"\x00" * 4, struct.pack("<I", 2**32 - 1), struct.pack("<I", 5) + b"abcd",
            struct.pack("<I", 1) + b"a" + struct.pack("<I", 1), b"\x01\0\0\0a\0\0\0\0z",
            struct.pack("<I", 2**31) * 2, b"\xff" * 8,
        ],
    )  # fmt: skip
    def test_lengths_of_strings_that_lie(self, serve: Any, blob: bytes) -> None:
        server = serve(echo=Echo(DataType.BYTES, (2,)))
        head = {
            "inputs": [tensor(shape=[1, 2], datatype="BYTES", data=None, parameters={"binary_data_size": len(blob)})]
        }
        answer = post(server, *binary(head, blob))
        assert answer.status == 400
        assert "input 'x'" in answer.error

    @pytest.mark.parametrize("size", [0, 4, 7, 9, 12])
    def test_a_raw_request_of_the_wrong_size(self, echo: Running, size: int) -> None:
        answer = post(echo, bytes(size), {"Inference-Header-Content-Length": 0, "Content-Length": size})
        assert answer.status == 400

    def test_a_raw_request_to_a_model_it_cannot_fit(self, serve: Any) -> None:
        server = serve(two=Pair(), free=Echo(DataType.FP32, (None, None)), untold=Untold())
        for model in ("two", "free", "untold"):
            answer = post(server, bytes(8), {"Inference-Header-Content-Length": 0}, model)
            assert answer.status == 400
            assert "raw request" in answer.error


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


class TestEncodings:
    def test_an_unknown_encoding(self, echo: Running) -> None:
        for encoding in ("br", "zstd", "compress", "gzip, gzip", "x" * 5000):
            answer = post(echo, body(tensor()), {"Content-Encoding": encoding})
            assert answer.status == 501
            assert answer.header("accept-encoding") == "gzip, deflate"
            assert answer.error

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_damaged_data(self, echo: Running, encoding: str) -> None:
        packed = gzip.compress(body(tensor())) if encoding == "gzip" else zlib.compress(body(tensor()))
        damaged = [packed[:-1], packed[:20], packed[:2], b"", packed + b"x", body(tensor()), packed[:-6] + b"\0" * 6]
        for data in damaged:
            answer = post(echo, data, {"Content-Encoding": encoding, "Content-Length": len(data)})
            assert answer.status == 400
            assert encoding in answer.error
        assert post(echo, packed, {"Content-Encoding": encoding}).status == 200

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_a_bomb(self, serve: Any, encoding: str) -> None:
        server = serve(echo=Echo(DataType.FP32, (2,)), max_body_bytes=1_000_000)
        huge = b" " * 50_000_000
        packed = gzip.compress(huge, 1) if encoding == "gzip" else zlib.compress(huge, 1)
        assert len(packed) < 500_000
        answer = post(server, packed, {"Content-Encoding": encoding})
        assert answer.status == 413
        assert "1000000" in answer.error
        assert post(server, body(tensor())).status == 200


def test_more_elements_than_allowed(serve: Any) -> None:
    server = serve(echo=Echo(), max_elements=1000)
    assert post(server, body(tensor(shape=[1, 1001], data=[0] * 1001))).status in {400, 413}
    assert post(server, body(tensor(data=[1, 2, 3, 4], comment=[0] * 2000))).status == 413
    assert post(server, body(tensor(shape=[1, 900], data=[0] * 900))).status == 200


def test_many_bytes_are_not_many_elements(serve: Any) -> None:
    """The limit of elements is one of JSON; what is binary has the limit of the body."""
    server = serve(image=Echo(DataType.UINT8, (None,)), max_elements=1000)
    head = {
        "inputs": [tensor(shape=[1, 5000], datatype="UINT8", data=None, parameters={"binary_data_size": 5000})],
        "parameters": {"binary_data_output": True},
    }
    assert post(server, *binary(head, bytes(5000)), model="image").status == 200


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
