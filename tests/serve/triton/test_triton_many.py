"""Triton's client with many requests in flight: each gets its own answer."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.http.aio as triton_aio
from served_models import Echo, Gate, InlineEcho, Pair, Params, Scores
from triton_calls import client, given, outputs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of gevent, which the client brings


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
