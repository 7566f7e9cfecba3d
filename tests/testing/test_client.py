"""The client for tests of users: what it says is what a server with sockets says."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx_build
import pytest
import uvloop
from served_models import Echo, Gate, InlineEcho, Pair, Params, Poison
from serving import Running, served
from wire import infer_body

from foretell.catalog import StaticCatalog
from foretell.columns import Batch
from foretell.config import ServerSettings
from foretell.errors import (
    DeadlineExceeded,
    InvalidInput,
    InvalidModel,
    InvalidSetting,
    ModelError,
    ModelNotFound,
    NotReady,
    Overloaded,
)
from foretell.model import Context
from foretell.testing import AsyncClient, Client
from foretell.types import DataType

_OWN = {"date", "x-request-id"}


def test_it_says_what_a_server_with_sockets_says() -> None:
    models = {"echo": Echo(), "quick": InlineEcho(), "poison": Poison()}
    limits = {"max_body_bytes": 5000, "max_header_bytes": 2048}
    real = Running(
        StaticCatalog([served(model, name) for name, model in models.items()]),
        ServerSettings(http_port=0, **limits),  # type: ignore[arg-type]
        uvloop.new_event_loop,
    )
    asked: list[tuple[str, str, bytes, dict[str, str]]] = [
        ("GET", "/v2", b"", {}), ("HEAD", "/v2", b"", {}), ("OPTIONS", "/v2", b"", {}), ("DELETE", "/v2", b"", {}),
        ("GET", "/v2/models/echo", b"", {}), ("GET", "/nowhere", b"", {}), ("GET", "/" + "x" * 3000, b"", {}),
        ("POST", "/v2/models/echo/infer", infer_body([1, 2]), {}),
        ("POST", "/v2/models/quick/infer", infer_body([1]), {}),
        ("POST", "/v2/models/poison/infer", infer_body([666]), {}), ("POST", "/v2/models/echo/infer", b"{", {}),
        ("POST", "/v2/models/echo/infer", b"x" * 6000, {}), ("GET", "/v2", b"", {"Host": "evil.example"}),
        ("POST", "/v2/models/echo/infer", infer_body([1]), {"Expect": "100-continue"}),
        ("GET", "/v2", b"", {"Connection": "close"}), ("GET", "/v2", b"", {"X-Request-Id": "mine"}),
        ("POST", "/v2/models/echo/infer", infer_body(list(range(600))), {"Accept-Encoding": "gzip"}),
    ]  # fmt: skip
    try:
        with Client(models, server=limits) as client:
            for method, path, body, headers in asked:
                ours = client.request(method, path, body=body, headers=headers)
                lines = [
                    f"{method} {path} HTTP/1.1",
                    *(f"{n}: {v}" for n, v in {"Host": "localhost", **headers}.items()),
                ]
                if body:
                    lines.append(f"Content-Length: {len(body)}")
                with real.connect() as wire:
                    theirs = wire.send("\r\n".join([*lines, "", ""]).encode() + body).answer(head=method == "HEAD")
                assert (ours.status, ours.body) == (theirs.status, theirs.body), (method, path)
                assert {n: v for n, v in ours.headers.items() if n not in _OWN} == {
                    n: v for n, v in theirs.headers if n not in _OWN
                }
    finally:
        real.close()


def test_arrays_in_and_arrays_out() -> None:
    with Client({"echo": Echo(DataType.FP32, (None, 2)), "pair": Pair(), "half": Echo(DataType.FP16, ())}) as client:
        rows = np.random.default_rng(0).random((5, 3, 2)).astype(np.float32)
        found = client.infer({"x": rows}, model="echo")["y"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, rows)
        outputs = client.infer({"a": [[1, 2]], "t": ["ä"]}, model="pair", version="1")
        assert outputs["double"].tolist() == [[2, 4]]
        assert outputs["text"].tolist() == ["Ä".encode()]
        assert client.infer({"x": [0.5, 2]}, model="half")["y"].tolist() == [0.5, 2]


def test_no_value_is_changed_on_its_way() -> None:
    """What a server would refuse from another client must not get through a test."""
    echoes = {"byte": Echo(DataType.INT8), "text": Echo(DataType.BYTES), "short": Echo(DataType.BF16),
              "flag": Echo(DataType.BOOL), "half": Echo(DataType.FP16)}  # fmt: skip
    wrong: list[tuple[str, Any]] = [
        ("byte", [[300]]), ("byte", [[1.5]]), ("byte", [["5"]]), ("byte", [[None]]), ("byte", [[1], [2, 3]]),
        ("text", [[5]]), ("text", [[None]]), ("flag", [[2]]), ("half", [[70000.0]]),
    ]  # fmt: skip
    with Client(echoes) as client:
        for name, value in wrong:
            with pytest.raises(InvalidInput):
                client.infer({"x": value}, model=name)
        assert client.infer({"x": [[1.0, True]]}, model="byte")["y"].tolist() == [[1, 1]]
        assert client.infer({"x": [[1.5, -2]]}, model="short")["y"].tolist() == [[1.5, -2]]


def test_a_model_without_an_axis_of_rows_gets_its_tensor_whole() -> None:
    with Client(Echo(DataType.FP32, (), batch=None)) as client:
        assert client.infer({"x": 2})["y"].tolist() == 2


def test_parameters_and_headers_travel() -> None:
    with Client({"params": Params()}) as client:
        found = client.infer({"x": [[1]]}, parameters={"top": 3})["params"]
        assert found.tolist() == [b'{"top": 3}']
        response = client.request(
            "POST", "/v2/models/params/infer", body=infer_body([1]), headers={"Foretell-Explain": "true"}
        )
        assert "server-timing" in response.headers
        assert response.json()["parameters"]["foretell_batch_requests"] == 1


def test_a_file_and_a_function(tmp_path: Path) -> None:
    onnx_build.save(onnx_build.iris_onnx(zipmap=False), tmp_path, "model.onnx")
    with Client(tmp_path / "model.onnx") as client:
        assert set(client.infer({"X": [[5.1, 3.5, 1.4, 0.2]]}))

    def double(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return x * 2

    with Client(double, model={"cache_size": 10}) as client:
        assert [client.infer({"x": [[1.5]]})["output"].tolist() for _ in range(2)] == [[[3]], [[3]]]
        assert 'foretell_cache_hits_total{model="double",version="1"} 1' in client.request("GET", "/metrics").text


def test_errors_are_those_of_the_library() -> None:
    with Client({"poison": Poison(), "echo": Echo()}) as client:
        with pytest.raises(InvalidInput, match="wrong shape"):
            client.infer({"x": [[1, 2]]}, model="poison")
        with pytest.raises(ModelError, match="poisoned"):
            client.infer({"x": [[666]]}, model="poison")
        with pytest.raises(ModelNotFound):
            client.infer({"x": [[1]]}, model="nobody")
        with pytest.raises(ModelNotFound):
            client.infer({"x": [[1]]}, model="echo", version="7")
        with pytest.raises(InvalidSetting, match="which model is meant; expected one of poison, echo"):
            client.infer({"x": [[1]]})


async def test_concurrent_requests_share_batches_as_in_the_server() -> None:
    gate = Gate()
    async with AsyncClient({"gate": gate}) as client:
        first = asyncio.create_task(client.infer({"x": [[0]]}))
        await asyncio.to_thread(gate.wait_entered)
        others = [asyncio.create_task(client.infer({"x": [[number]]})) for number in range(1, 6)]
        while "foretell_queue_rows" not in (text := (await client.request("GET", "/metrics")).text) or (
            'foretell_queue_rows{model="gate",version="1"} 5' not in text
        ):
            await asyncio.sleep(0)
        gate.open_gate()
        found = [(await task)["y"].tolist() for task in (first, *others)]
    assert found == [[[number]] for number in range(6)]
    assert gate.batches == [1, 5]


async def test_who_gives_up_takes_the_work_along() -> None:
    gate = Gate()
    async with AsyncClient({"gate": gate}) as client:
        first = asyncio.create_task(client.infer({"x": [[0]]}))
        await asyncio.to_thread(gate.wait_entered)
        second = asyncio.create_task(client.infer({"x": [[1]]}))
        for _ in range(3):
            await client.request("GET", "/v2")
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.open_gate()
        assert (await first)["y"].tolist() == [[0]]
        assert (await client.infer({"x": [[2]]}))["y"].tolist() == [[2]]
    assert gate.seen == [0, 2]


async def test_limits_hold_and_the_next_request_is_served() -> None:
    gate = Gate()
    async with AsyncClient({"gate": gate}, model={"max_queue_size": 1}, server={"max_body_bytes": 1000}) as client:
        assert (await client.request("POST", "/v2/models/gate/infer", body=b"x" * 2000)).status == 413
        first = asyncio.create_task(client.infer({"x": [[0]]}))
        await asyncio.to_thread(gate.wait_entered)
        waits = asyncio.create_task(client.infer({"x": [[1]]}))
        for _ in range(3):
            await client.request("GET", "/v2")
        with pytest.raises(Overloaded):
            await client.infer({"x": [[2]]})
        late = asyncio.create_task(client.infer({"x": [[3]]}, parameters={"timeout": 1}))
        with pytest.raises((DeadlineExceeded, Overloaded)):
            await late
        gate.open_gate()
        await asyncio.gather(first, waits)


def test_threads_share_one_client() -> None:
    with Client({"quick": InlineEcho()}) as client, ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda number: client.infer({"x": [[number]]})["y"].tolist(), range(100))
        assert list(found) == [[[number]] for number in range(100)]


def test_tokens_are_needed_where_one_is_set() -> None:
    with Client({"echo": Echo()}, token="t" * 40) as client:
        assert client.request("GET", "/v2/models/echo").status == 401
        headers = {"Authorization": "Bearer " + "t" * 40}
        assert client.request("GET", "/v2/models/echo", headers=headers).status == 200
        assert client.infer({"x": [[1]]}, headers=headers)["y"].tolist() == [[1]]


@pytest.mark.parametrize("name", ["http_port", "host", "unix_socket", "tls_cert", "workers", "watch", "log_format"])
def test_settings_of_sockets_are_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} would do nothing"):
        Client(Echo(), server={name: "1"})


def test_wrong_settings_and_models_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="unknown setting 'batch_size'"):
        Client(Echo(), model={"batch_size": 1})
    before = threading.active_count()
    with pytest.raises(InvalidModel), Client(tmp_path / "none.onnx"):
        pass
    assert threading.active_count() == before


def test_it_is_used_in_a_with_block() -> None:
    client = Client({"echo": Echo()})
    with pytest.raises(NotReady, match="use it in a with block"):
        client.infer({"x": [[1]]})
    for _ in range(2):
        with client:
            assert client.infer({"x": [[1]]})["y"].tolist() == [[1]]
    with pytest.raises(NotReady):
        client.request("GET", "/v2")


async def test_it_is_used_in_an_async_with_block() -> None:
    with pytest.raises(NotReady, match="use it in a with block"):
        await AsyncClient({"echo": Echo()}).infer({"x": [[1]]})


def test_the_model_is_closed_at_the_end() -> None:
    class Closing(Echo):
        closed = 0

        def predict(self, batch: Batch, ctx: Context) -> Batch:
            assert not self.closed
            return super().predict(batch, ctx)

        def close(self) -> None:
            self.closed += 1

    model = Closing()
    with Client({"m": model}) as client:
        client.infer({"x": [[1]]})
    assert model.closed == 1
