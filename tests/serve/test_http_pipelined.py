"""Many requests at once on one connection: their replies wait for each other within a limit of bytes, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from served_models import Echo, Gate, InlineEcho
from wire import http, infer, values

from foretell.columns import Batch, Dense
from foretell.model import Context
from foretell.serve.answer_sizes import AnswerSizes
from foretell.serve.exchange import Exchange
from foretell.types import DataType, ModelSpec, TensorSpec

LARGE = http("GET", "/openapi.json")
MOST_BYTES = 1 << 20


class Widens(Echo):
    """Answers each number with so many zeros that the answer has more bytes than may wait."""

    spec = ModelSpec(inputs=(TensorSpec("x", DataType.FP32, (1,)),), outputs=(TensorSpec("y", DataType.FP32, (None,)),))

    def __init__(self) -> None:
        self.batches = []

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        self.batches.append(batch.rows)
        return Batch({"y": Dense(np.zeros((batch.rows, MOST_BYTES // 2), np.float32))}, batch.rows)


def test_large_answers_that_nobody_reads_are_few(serve: Any) -> None:
    """Once the server has had one of this model."""
    model = Widens()
    server = serve(wide=model)
    assert server.ask(infer("wide", [1])).status == 200
    for _ in range(2):
        model.batches.clear()
        with server.connect(receive_buffer=4096) as wire:
            wire.send(infer("wide", [1]) * 8)
            connection = server.only_connection()
            server.until(lambda connection=connection: connection._full)
            assert sum(model.batches) <= 2
            assert [wire.answer().status for _ in range(8)] == [200] * 8
        assert sum(model.batches) == 8
        server.until(lambda: server.application.server.connections == 0)


def test_targets_that_are_remembered_are_few(serve: Any) -> None:
    sizes = AnswerSizes()
    server = serve(quick=InlineEcho()).application.server
    for number in range(3000):
        exchange = Exchange(server.factory(), b"GET", b"/%d" % number, {}, b"", True, False)
        exchange.out = b"HTTP/1.1 200 OK\r\n" + b" " * 83
        sizes.learn(exchange)
    assert sizes.fits(exchange, 9, 1000)
    assert not sizes.fits(exchange, 10, 1000)
    assert sizes.fits(exchange, 0, 1)
    assert len(sizes._growth) < 3000


@pytest.mark.parametrize("apart", [False, True])
def test_replies_behind_a_slow_one_are_few(serve: Any, apart: bool) -> None:
    """`apart`: each request comes in a read of its own."""
    gate = Gate()
    server = serve(gate=gate)
    size = len(server.ask(LARGE).body)
    count = 2 * MOST_BYTES // size
    assert count > 100
    with server.connect() as wire:
        wire.send(infer("gate", [1]))
        gate.wait_entered()
        connection = server.only_connection()
        wire.trickle([LARGE] * count) if apart else wire.send(LARGE * count)
        server.until(lambda: connection._paused)
        waiting = server.on_loop(lambda: [each.out or b"" for each in connection._exchanges])
        assert sum(map(len, waiting)) < MOST_BYTES + 2 * size
        gate.open_gate()
        assert values(wire.answer()) == [1]
        assert [len(wire.answer().body) for _ in range(count)] == [size] * count
        assert values(wire.send(infer("gate", [2])).answer()) == [2]
        assert server.on_loop(lambda: (connection._behind_bytes, len(connection._put_off), connection._paused)) == (
            0, 0, False,
        )  # fmt: skip


def test_one_read_of_small_requests_is_no_flood_of_replies(serve: Any) -> None:
    server = serve(quick=InlineEcho())
    count = 3000
    with server.connect(receive_buffer=4096) as wire:
        wire.send(LARGE * count)
        connection = server.only_connection()
        server.until(lambda: connection._full)
        unsent = server.on_loop(connection._transport.get_write_buffer_size)
        assert unsent < 4 * MOST_BYTES
        assert server.on_loop(lambda: connection._behind_bytes) < 2 * MOST_BYTES
        assert {wire.answer().status for _ in range(count)} == {200}


@pytest.mark.parametrize("most", [1, 2, 7])
def test_what_was_put_off_is_answered_in_order(serve: Any, most: int) -> None:
    server = serve(quick=InlineEcho(), max_pipelined=most)
    with server.connect() as wire:
        wire.send(b"".join(infer("quick", [number]) for number in range(300)))
        assert [values(wire.answer()) for _ in range(300)] == [[number] for number in range(300)]


def test_what_was_put_off_is_answered_before_the_end(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate, quick=InlineEcho(), max_pipelined=4)
    with server.connect() as wire:
        wire.send(infer("gate", [0]) + b"".join(infer("quick", [number]) for number in range(50)))
        gate.wait_entered()
        connection = server.only_connection()
        server.until(lambda: len(connection._put_off) == 47)
        server.stop()
        server.until(lambda: connection._closing)
        gate.open_gate()
        assert values(wire.answer()) == [0]
        assert [values(wire.answer()) for _ in range(50)] == [[number] for number in range(50)]
        assert wire.closed


def test_a_client_that_leaves_takes_with_it_what_was_put_off(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate, max_pipelined=2)
    with server.connect() as wire:
        wire.send(b"".join(infer("gate", [number]) for number in range(10)))
        gate.wait_entered()
        connection = server.only_connection()
        server.until(lambda: len(connection._put_off) == 8)
    gate.open_gate()
    server.until(lambda: server.application.server.connections == 0)
    assert values(server.ask(infer("gate", [99]))) == [99]
    assert server.engine("gate").waiting_rows == 0
