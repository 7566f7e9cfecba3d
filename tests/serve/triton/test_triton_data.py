"""Data as Triton's client sends and reads it: every datatype, in JSON, binary and raw, packed or not."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
from served_models import Echo, InlineEcho, Pair, Scores, Untold
from triton_calls import ARRAYS, client, given, outputs
from wire import http, infer

from foretell.types import DataType

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of gevent, which the client brings

JSON_LESS = {DataType.FP16, DataType.BF16}


@pytest.mark.parametrize("datatype", list(ARRAYS))
@pytest.mark.parametrize("model", [Echo, InlineEcho])
def test_every_datatype_comes_back_bit_for_bit(serve: Any, datatype: DataType, model: type[Echo]) -> None:
    array = ARRAYS[datatype]
    server = serve(echo=model(datatype, (None,)))
    forms = [True] if datatype in JSON_LESS else [True, False]
    with client(server) as triton_client:
        for sent in forms:
            for wanted in forms:
                answer = triton_client.infer(
                    "echo", [given("x", array, binary=sent)], outputs=outputs("y", binary=wanted)
                )
                got = answer.as_numpy("y")
                assert got.shape == array.shape
                if datatype is DataType.BYTES:
                    flat = [item if isinstance(item, bytes) else item.encode() for item in got.reshape(-1)]
                    assert flat == array.reshape(-1).tolist()
                else:
                    assert got.dtype == array.dtype
                    assert got.tobytes() == array.tobytes()
                assert ("binary_data_size" in answer.get_output("y").get("parameters", {})) is wanted


@pytest.mark.parametrize("datatype", list(ARRAYS))
def test_a_raw_request_is_one_row(serve: Any, datatype: DataType) -> None:
    array = ARRAYS[datatype][0]
    fixed = len(array) if datatype is DataType.BYTES else None
    server = serve(echo=Echo(datatype, (fixed,)))
    blob = given("x", array)._get_binary_data()
    request = http("POST", "/v2/models/echo/infer", blob, {"Inference-Header-Content-Length": 0})
    reply = server.ask(request)
    assert reply.status == 200, reply.body
    assert reply.header("content-type") == "application/octet-stream"
    answer = triton.InferenceServerClient.parse_response_body(
        reply.body, header_length=int(reply.header("inference-header-content-length") or "")
    )
    assert answer.as_numpy("y").tolist() == [array.tolist()]


def test_generate_request_body_and_parse_response_body(serve: Any) -> None:
    array = ARRAYS[DataType.FP32]
    body, size = triton.InferenceServerClient.generate_request_body([given("x", array)], request_id="7")
    reply = serve(echo=Echo()).ask(
        http("POST", "/v2/models/echo/infer", body, {"Inference-Header-Content-Length": size})
    )
    answer = triton.InferenceServerClient.parse_response_body(
        reply.body, header_length=int(reply.header("inference-header-content-length") or "")
    )
    assert answer.get_response()["id"] == "7"
    assert (answer.as_numpy("y") == array).all()


def test_several_inputs_and_outputs_in_every_mix(serve: Any) -> None:
    a, t = np.array([[1, 2], [3, 4], [5, 6]], np.float32), np.array([b"x", "ü".encode(), b""], object)
    with client(serve(pair=Pair())) as triton_client:
        for bits in range(16):
            tensors = [given("a", a, binary=bool(bits & 1)), given("t", t, binary=bool(bits & 2))]
            for order in (tensors, tensors[::-1]):
                wanted = outputs("text", binary=bool(bits & 4)) + outputs("double", binary=bool(bits & 8))
                answer = triton_client.infer("pair", order, outputs=wanted)
                assert [output["name"] for output in answer.get_response()["outputs"]] == ["text", "double"]
                assert answer.as_numpy("double").tolist() == (a * 2).tolist()
                texts = [x.decode() if isinstance(x, bytes) else x for x in answer.as_numpy("text").tolist()]
                assert texts == ["X", "Ü", ""]
        everything = triton_client.infer("pair", tensors)
        assert everything.as_numpy("double").tolist() == (a * 2).tolist()
        assert everything.as_numpy("text").tolist() == [b"X", "Ü".encode(), b""]
        assert triton_client.infer("pair", tensors, outputs=outputs("double")).as_numpy("text") is None


def test_a_model_that_tells_nothing_of_itself(serve: Any) -> None:
    with client(serve(untold=Untold())) as triton_client:
        for array in ARRAYS.values():
            if array.dtype == ml_dtypes.bfloat16:
                continue
            answer = triton_client.infer("untold", [given("anything", array)])
            assert answer.as_numpy("anything").tobytes() == array.tobytes() or array.dtype == object
        answer = triton_client.infer("untold", [given("b", ARRAYS[DataType.INT8])], outputs=outputs("b", binary=False))
        assert answer.as_numpy("b").tolist() == ARRAYS[DataType.INT8].tolist()


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compression_both_ways(serve: Any, algorithm: str, binary: bool) -> None:
    array = np.arange(20_000, dtype=np.float32).reshape(10, -1)
    with client(serve(echo=Echo())) as triton_client:
        for request, response in ((algorithm, None), (None, algorithm), (algorithm, algorithm)):
            answer = triton_client.infer(
                "echo", [given("x", array, binary=binary)], outputs=outputs("y", binary=binary),
                request_compression_algorithm=request, response_compression_algorithm=response,
            )  # fmt: skip
            assert (answer.as_numpy("y") == array).all()


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip", "gzip"), ("deflate", "deflate"), ("gzip;q=0.5", "gzip"), ("gzip;q=0, deflate", "deflate"),
        ("gzip; q=0.000", None), ("br", None), ("identity", None), ("GZIP", "gzip"), ("deflate, gzip", "gzip"),
    ],
)  # fmt: skip
def test_an_answer_is_packed_only_as_the_client_accepts(serve: Any, accept: str, encoding: str | None) -> None:
    server = serve(echo=Echo())
    many = list(range(1000))
    assert server.ask(infer("echo", many, {"Accept-Encoding": accept})).header("content-encoding") == encoding
    assert server.ask(infer("echo", [1], {"Accept-Encoding": accept})).header("content-encoding") is None


def test_classification(serve: Any) -> None:
    x = np.array([[0.1, 22.0, 3.3], [5, 4, 5]], np.float32)
    with client(serve(scores=Scores())) as triton_client:
        for binary in (True, False):
            wanted = [
                triton.InferRequestedOutput("scores", binary_data=binary, class_count=2),
                triton.InferRequestedOutput("plain", binary_data=binary, class_count=1),
            ]
            answer = triton_client.infer("scores", [given("x", x)], outputs=wanted)
            texts = [[x.decode() if isinstance(x, bytes) else x for x in row] for row in answer.as_numpy("scores")]
            assert texts == [["22.000000:1:dog", "3.300000:2:owl"], ["5.000000:0:cat", "5.000000:2:owl"]]
            plain = [x.decode() if isinstance(x, bytes) else x for x in answer.as_numpy("plain")[:, 0]]
            assert plain == ["22:1", "5:0"]
