"""Triton's client beside the data: health, names, versions, ids, parameters, time limits and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gevent
import numpy as np
import pytest
import tritonclient.http.aio as triton_aio
from served_models import Echo, Gate, Pair, Params
from serving import served
from triton_calls import ARRAYS, client, given, outputs
from tritonclient.utils import InferenceServerException
from wire import infer

from foretell.clock import ManualClock
from foretell.config import ModelSettings
from foretell.types import DataType

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of gevent, which the client brings


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


def client_until(condition: Callable[[], bool]) -> None:
    """Returns when `condition` holds. What the client has begun goes on meanwhile: it would not in a thread that only
    waits."""
    with gevent.Timeout(20):
        while not condition():
            gevent.sleep(0)


def test_a_request_has_its_own_time_limit(serve: Any) -> None:
    """Both while it waits and while the model has it; the clock moves when the test says so."""
    clock, gate = ManualClock(1000.0), Gate()
    server = serve(served(gate, "gate", clock=clock))
    one = np.zeros((1, 1), np.float32)
    with client(server, concurrency=3) as triton_client:
        running = triton_client.async_infer("gate", [given("x", one)], timeout=5_000_000)
        client_until(lambda: bool(gate.seen))
        waiting = triton_client.async_infer("gate", [given("x", one + 1)], timeout=2_000_000)
        patient = triton_client.async_infer("gate", [given("x", one + 2)])
        client_until(lambda: server.on_loop(lambda: server.engine("gate").waiting_rows == 2))
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
