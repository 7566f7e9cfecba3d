"""A mixture of everything at once; afterwards all is as before, and every answer was the right one."""

from __future__ import annotations

import random
import socket
import threading
from typing import Any

import numpy as np
import pytest
from served_models import Echo, Gate, InlineEcho, Poison
from serving import Running, served
from wire import Wire, http, infer, infer_body, values

from foretell.config import ModelSettings


class Client(threading.Thread):
    """Does what a seed tells, and remembers what was not as it had to be."""

    def __init__(self, server: Running, seed: int, actions: int) -> None:
        super().__init__(daemon=True)
        self.server, self.random, self.actions = server, random.Random(seed), actions
        self.problems: list[object] = []

    def run(self) -> None:
        for _ in range(self.actions):
            action = self.random.choice(
                [self.ask, self.ask, self.poison, self.nan, self.hurry, self.leave, self.babble]
            )
            try:
                action(self.random.uniform(1, 600))
            except Exception as error:
                self.problems.append((action.__name__, repr(error)))

    def ask(self, value: float) -> None:
        expected = float(np.float32(value))
        with self.server.connect() as wire:
            for model in self.random.sample(["echo", "inline", "poison"], 3):
                (got,) = values(wire.send(infer(model, [value])).answer())
                assert np.float32(got) == np.float32(expected)

    def poison(self, value: float) -> None:
        assert self.server.ask(infer("poison", [value, 666])).status == 500

    def nan(self, value: float) -> None:
        assert self.server.ask(infer("poison", [value, float("nan"), value])).status == 400

    def hurry(self, value: float) -> None:
        body = infer_body([value]).replace(b'{"inputs"', b'{"parameters":{"timeout":1},"inputs"')
        assert self.server.ask(http("POST", "/v2/models/poison/infer", body)).status in {200, 504}

    def leave(self, value: float) -> None:
        with self.server.connect() as wire:
            wire.send(infer("poison", [value]) * self.random.randint(1, 5))
            if self.random.random() < 0.5:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def babble(self, value: float) -> None:
        with self.server.connect() as wire:
            assert wire.send(infer("echo", [value])[:-20] + b"\0" * 20).answer().status == 400


def test_after_all_trouble_everything_answers(serve: Any) -> None:
    # Up to eight requests in a batch, the search for bad ones has calls enough for every one of them to be bad.
    small = ModelSettings(max_batch_size=8, retry_delay_s=0.0)
    server = serve(served(Poison(), "poison", settings=small), echo=Echo(), inline=InlineEcho())
    clients = [Client(server, seed, 40) for seed in range(12)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    assert [client.problems for client in clients] == [[] for _ in clients]
    for model in ("echo", "inline", "poison"):
        assert [values(server.ask(infer(model, [n]))) for n in range(1, 30)] == [[n] for n in range(1, 30)]
        assert server.engine(model).waiting_rows == 0
    server.until(lambda: server.application.server.connections == 0)


def test_more_requests_on_one_connection_than_may_wait(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate, max_pipelined=16)
    count = 10_000
    with server.connect() as wire:
        sender = threading.Thread(target=wire.send, args=(b"".join(infer("gate", [n]) for n in range(count)),))
        sender.start()
        gate.wait_entered()
        (connection,) = server.application.server._connections
        server.until(lambda: connection._paused)
        # One read of the socket may bring more than the limit, but nothing is read after it.
        assert server.on_loop(lambda: len(connection._exchanges)) < 3000
        gate.open_gate()
        for number in range(count):
            assert values(wire.answer()) == [number]
        sender.join(20)


@pytest.mark.parametrize("model", [Echo, InlineEcho])
def test_large_tensors(serve: Any, model: type[Echo]) -> None:
    array = np.random.default_rng(3).normal(size=(500, 4000)).astype(np.float32)
    head = (
        b'{"inputs":[{"name":"x","shape":[500,4000],"datatype":"FP32","parameters":{"binary_data_size":8000000}}],'
        b'"parameters":{"binary_data_output":true}}'
    )
    server = serve(echo=model())
    with Wire(server.port) as wire:
        for _ in range(2):
            request = http(
                "POST", "/v2/models/echo/infer", head + array.tobytes(), {"Inference-Header-Content-Length": len(head)}
            )
            answer = wire.send(request).answer()
            length = int(answer.header("inference-header-content-length") or "")
            assert answer.body[length:] == array.tobytes()
