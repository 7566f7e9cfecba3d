"""Triton's own client, unmodified: what it sends is understood, and what comes back it understands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
import uvloop
from served_models import Echo, Gate, InlineEcho, Pair, Params, Scores, Untold
from serving import LoopFactory, Running, served
from tritonclient.utils import InferenceServerException, np_to_triton_dtype
from wire import http, infer

from foretell.clock import ManualClock
from foretell.config import ModelSettings
from foretell.types import DataType

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of gevent, which the client brings

Array = np.ndarray[Any, Any]


@pytest.fixture
def new_loop() -> LoopFactory:
    """What is tested here knows nothing of the loop."""
    return uvloop.new_event_loop


@contextmanager
def client(server: Running, **options: Any) -> Iterator[triton.InferenceServerClient]:
    opened = triton.InferenceServerClient(server.url, connection_timeout=20, network_timeout=20, **options)
    try:
        yield opened
    finally:
        opened.close()


def given(name: str, array: Array, *, binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def outputs(*names: str, binary: bool = True, **more: Any) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary, **more) for name in names]


TEXTS = ["", "plain", "Zürich ☃ 漢字 🙂", "NUL \0 inside", 'quotes " \\ and \n lines', " "]
ARRAYS = {
    DataType.BOOL: np.array([[True, False], [False, True]]),
    DataType.UINT8: np.array([[0, 255], [1, 2]], np.uint8),
    DataType.UINT16: np.array([[0, 65535], [1, 2]], np.uint16),
    DataType.UINT32: np.array([[0, 2**32 - 1], [1, 2]], np.uint32),
    DataType.UINT64: np.array([[0, 2**64 - 1], [2**63, 2]], np.uint64),
    DataType.INT8: np.array([[-128, 127], [-1, 2]], np.int8),
    DataType.INT16: np.array([[-(2**15), 2**15 - 1], [-1, 2]], np.int16),
    DataType.INT32: np.array([[-(2**31), 2**31 - 1], [-1, 2]], np.int32),
    DataType.INT64: np.array([[-(2**63), 2**63 - 1], [-1, 2]], np.int64),
    DataType.FP16: np.array([[0.1, -65504], [np.inf, 6e-8]], np.float16),
    DataType.BF16: np.array([[0.1, -3e38], [np.inf, 1e-38]], ml_dtypes.bfloat16),
    DataType.FP32: np.array([[0.1, -3.4e38], [1e-45, 1 / 3]], np.float32),
    DataType.FP64: np.array([[0.1, -1.7e308], [5e-324, 1 / 3]], np.float64),
    DataType.BYTES: np.array([[text.encode() for text in TEXTS[:3]], [text.encode() for text in TEXTS[3:]]], object),
}  # fmt: skip
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


def test_health_metadata_and_configuration(serve: Any) -> None:
    server = serve(served(Echo(), "echo", "2"), served(Echo(DataType.BYTES), "echo", "10"), pair=Pair())
    with client(server) as triton_client:
        assert triton_client.is_server_live()
        assert triton_client.is_server_ready()
        assert triton_client.is_model_ready("echo")
        assert triton_client.is_model_ready("echo", "2")
        assert not triton_client.is_model_ready("echo", "3")
        assert not triton_client.is_model_ready("other")
        assert "binary_tensor_data" in triton_client.get_server_metadata()["extensions"]
        metadata = triton_client.get_model_metadata("echo")
        assert metadata["versions"] == ["2", "10"]
        assert metadata["inputs"] == [{"name": "x", "datatype": "BYTES", "shape": [-1, -1]}]
        assert triton_client.get_model_metadata("echo", "2")["inputs"][0]["datatype"] == "FP32"
        config = triton_client.get_model_config("pair")
        assert config["max_batch_size"] == 128
        assert config["input"][1] == {"name": "t", "data_type": "TYPE_STRING", "dims": []}


def test_versions(serve: Any) -> None:
    server = serve(served(Echo(DataType.INT32), "echo", "1"), served(Echo(DataType.FP32), "echo", "2"))
    with client(server) as triton_client:
        one = triton_client.infer("echo", [given("x", ARRAYS[DataType.INT32])], model_version="1").get_response()
        two = triton_client.infer("echo", [given("x", ARRAYS[DataType.FP32])]).get_response()
        assert (one["model_version"], two["model_version"]) == ("1", "2")
        with pytest.raises(InferenceServerException, match="version 3 is not found") as caught:
            triton_client.infer("echo", [given("x", ARRAYS[DataType.FP32])], model_version="3")
        assert caught.value.status() == "404"


def test_names_with_spaces_and_letters_of_any_script(serve: Any) -> None:
    with client(serve(**{"mein Modell ö.v2": Echo()})) as triton_client:
        answer = triton_client.infer("mein Modell ö.v2", [given("x", ARRAYS[DataType.FP32])])
        assert answer.get_response()["model_name"] == "mein Modell ö.v2"
        with pytest.raises(InferenceServerException, match="Request for unknown model: 'a%2Fb'"):
            triton_client.get_model_metadata("a%2Fb")


def test_request_ids_come_back(serve: Any) -> None:
    with client(serve(echo=Echo())) as triton_client:
        for request_id in ("1", 'with "quotes" \\', "ü☃", "x" * 10_000):
            for binary in (True, False):
                answer = triton_client.infer(
                    "echo", [given("x", ARRAYS[DataType.FP32])], request_id=request_id,
                    outputs=outputs("y", binary=binary),
                )  # fmt: skip
                assert answer.get_response()["id"] == request_id
        assert "id" not in triton_client.infer("echo", [given("x", ARRAYS[DataType.FP32])]).get_response()


def test_parameters_reach_the_model_and_those_of_the_protocol_do_not(serve: Any) -> None:
    one = np.zeros((1, 1), np.float32)
    with client(serve(params=Params())) as triton_client:
        sent = {"a": 1, "b": "text", "c": 1.5, "d": True, "e": "1"}
        answer = triton_client.infer("params", [given("x", one)], parameters=sent, priority=3, timeout=10**9)
        assert json.loads(answer.as_numpy("params")[0]) == sent
        assert json.loads(triton_client.infer("params", [given("x", one)]).as_numpy("params")[0]) == {}


def test_requests_with_other_parameters_never_share_a_call(serve: Any) -> None:
    gate = Gate()
    server = serve(params=Params(), gate=gate)
    one = np.zeros((1, 1), np.float32)
    with client(server, concurrency=40) as triton_client:
        calls = [
            triton_client.async_infer("params", [given("x", one)], parameters={"n": number % 4, "s": str(number % 4)})
            for number in range(60)
        ]
        for number, call in enumerate(calls):
            got = json.loads(call.get_result().as_numpy("params")[0])
            assert got == {"n": number % 4, "s": str(number % 4)}


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


def test_a_request_has_its_own_time_limit(serve: Any) -> None:
    """Both while it waits and while the model has it; the clock moves when the test says so."""
    clock, gate = ManualClock(1000.0), Gate()
    server = serve(served(gate, "gate", clock=clock))
    one = np.zeros((1, 1), np.float32)
    with client(server, concurrency=3) as triton_client:
        running = triton_client.async_infer("gate", [given("x", one)], timeout=5_000_000)
        gate.wait_entered()
        waiting = triton_client.async_infer("gate", [given("x", one + 1)], timeout=2_000_000)
        patient = triton_client.async_infer("gate", [given("x", one + 2)])
        server.until(lambda: server.engine("gate").waiting_rows == 2)
        clock.advance(3)
        with pytest.raises(InferenceServerException, match="time limit") as caught:
            waiting.get_result(timeout=20)
        assert caught.value.status() == "504"
        clock.advance(3)
        with pytest.raises(InferenceServerException, match="time limit") as caught:
            running.get_result(timeout=20)
        assert caught.value.status() == "504"
        gate.open_gate()
        assert patient.get_result(timeout=20).as_numpy("y").tolist() == [[2]]
    assert gate.seen == [0, 2]


def test_the_models_time_limit_holds_too(serve: Any) -> None:
    clock, gate = ManualClock(1000.0), Gate()
    server = serve(served(gate, "gate", settings=ModelSettings(timeout_s=1.0), clock=clock))
    with server.connect() as wire:
        wire.send(infer("gate", [1]))
        gate.wait_entered()
        clock.advance(2)
        assert wire.answer().status == 504
        gate.open_gate()


def test_errors_are_what_the_client_expects(serve: Any) -> None:
    server = serve(echo=Echo(DataType.FP32, (2,)))
    with client(server) as triton_client:
        for call, text in {
            lambda: triton_client.infer("nobody", [given("x", ARRAYS[DataType.FP32])]): "Request for unknown model",
            lambda: triton_client.infer("echo", [given("x", ARRAYS[DataType.INT8])]): "wrong datatype",
            lambda: triton_client.infer("echo", [given("z", ARRAYS[DataType.FP32])]): "unknown input 'z'",
            lambda: triton_client.infer("echo", []): "input 'x' is missing",
        }.items():
            with pytest.raises(InferenceServerException, match=text):
                call()


class TestManyAtOnce:
    """Hundreds in flight, of mixed shapes, types, outputs and parameters: each answer equals its serial one."""

    def requests(self) -> list[dict[str, Any]]:
        rng = np.random.default_rng(7)
        made = []
        for number in range(240):
            rows, width = int(rng.integers(1, 5)), int(rng.integers(1, 6))
            array = rng.normal(size=(rows, width)).astype(np.float32)
            if number % 17 == 0:
                array[0, 0] = np.nan
            binary = bool(number % 2)
            kind = ("echo", "inline", "pair", "scores")[number % 4]
            if kind == "pair":
                texts = np.array([f"text {number} {row}".encode() for row in range(rows)], object)
                tensors = [given("a", array[:, :1].repeat(2, 1), binary=binary), given("t", texts, binary=not binary)]
                wanted = outputs("double", "text", binary=binary) if number % 3 else None
            elif kind == "scores":
                tensors = [given("x", array[:, :1] * np.array([1, 2, 3], np.float32), binary=binary)]
                wanted = outputs("scores", binary=binary, class_count=number % 4)
            else:
                tensors = [given("x", array, binary=binary)]
                wanted = outputs("y", binary=not binary) if number % 3 else None
            parameters = {"p": number % 2} if number % 5 == 0 else None
            made.append({
                "model_name": kind, "inputs": tensors, "outputs": wanted, "request_id": str(number),
                "parameters": parameters,
            })  # fmt: skip
        return made

    def models(self) -> dict[str, Any]:
        return {"echo": Echo(), "inline": InlineEcho(), "pair": Pair(), "scores": Scores()}

    @staticmethod
    def seen(answer: Any) -> tuple[Any, ...]:
        response = answer.get_response()
        arrays = [answer.as_numpy(output["name"]) for output in response["outputs"]]
        return json.dumps(response), [a.tobytes() if a.dtype != object else a.tolist() for a in arrays]

    def test_threads(self, serve: Any) -> None:
        server, requests = serve(**self.models()), self.requests()
        with client(server, concurrency=64) as triton_client:
            serial = [self.seen(triton_client.infer(**request)) for request in requests]
            calls = [triton_client.async_infer(**request) for request in requests]
            assert [self.seen(call.get_result(timeout=60)) for call in calls] == serial

    def test_connections(self, serve: Any) -> None:
        server, requests = serve(**self.models()), self.requests()
        with client(server) as triton_client:
            serial = [self.seen(triton_client.infer(**request)) for request in requests]

        def ask(part: int) -> list[Any]:
            with client(server) as own:
                return [self.seen(own.infer(**request)) for request in requests[part::16]]

        with ThreadPoolExecutor(16) as pool:
            for part, got in enumerate(pool.map(ask, range(16))):
                assert got == serial[part::16]

    async def test_asyncio(self, serve: Any) -> None:
        server, requests = serve(**self.models()), self.requests()
        async with triton_aio.InferenceServerClient(server.url) as triton_client:
            serial = [self.seen(await triton_client.infer(**request)) for request in requests]
            answers = await asyncio.gather(*[triton_client.infer(**request) for request in requests])
            assert [self.seen(answer) for answer in answers] == serial


class TestAsyncioClient:
    async def test_all_calls(self, serve: Any) -> None:
        server = serve(echo=Echo(), gate=Gate())
        array = ARRAYS[DataType.FP32]
        async with triton_aio.InferenceServerClient(server.url) as triton_client:
            assert await triton_client.is_server_live()
            assert await triton_client.is_server_ready()
            assert await triton_client.is_model_ready("echo")
            assert (await triton_client.get_server_metadata())["name"]
            assert (await triton_client.get_model_metadata("echo"))["name"] == "echo"
            assert (await triton_client.get_model_config("echo"))["name"] == "echo"
            for compress in (None, "gzip", "deflate"):
                answer = await triton_client.infer(
                    "echo", [given("x", array)],
                    request_compression_algorithm=compress, response_compression_algorithm=compress,
                )  # fmt: skip
                assert (answer.as_numpy("y") == array).all()
            with pytest.raises(InferenceServerException, match="unknown model"):
                await triton_client.infer("nobody", [given("x", array)])
