"""Whoever asks is told why the answer took its time; nobody else is."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import numpy as np
import pytest
from engine_models import Doubler, engine_of
from served_models import Echo, Gate, InlineEcho, Poison
from serving import Running, served
from wire import Answer, Wire, http, infer, infer_body, values

from foretell.clock import ManualClock
from foretell.columns import Batch, Dense, Ragged
from foretell.config import ModelSettings
from foretell.engine.work import Completed, Work, fields_of
from foretell.errors import InferenceError
from foretell.model import Context, Model
from foretell.serve.explain import explanation
from foretell.types import DataType, ModelSpec, TensorSpec

ASK = {"Foretell-Explain": "true"}
_METRIC = re.compile(r'([a-z]+)(?:;dur=([0-9.]+))?(?:;desc="([^"]*)")?')


def told(answer: Answer) -> dict[str, Any]:
    """The explanation in the body, which the one in the head agrees with."""
    found = {name.removeprefix("foretell_"): value for name, value in answer.json["parameters"].items()}
    head = timing(answer)
    for name in ("queue", "model", "total"):
        assert head.get(name, (None, None))[0] == found.get(f"{name}_ms")
    return found


def timing(answer: Answer) -> dict[str, tuple[float | None, str]]:
    """`Server-Timing` by the names in it."""
    header = answer.header("server-timing")
    assert header is not None
    parts = re.findall(r'(?:[^",]|"[^"]*")+', header)
    matches = [_METRIC.fullmatch(part.strip()) for part in parts]
    assert all(matches), header
    return {m[1]: (float(m[2]) if m[2] else None, m[3] or "") for m in matches if m}


class Slow(Echo):
    """Takes a quarter of a second of the test's clock."""

    def __init__(self, clock: ManualClock, **spec: Any) -> None:
        super().__init__(DataType.FP32, (1,), **spec)
        self._clock = clock

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        self._clock.advance(0.25)
        return super().predict(batch, ctx)


def test_nobody_else_is_told(serve: Any) -> None:
    server: Running = serve(echo=Echo(), quick=InlineEcho())
    for model in ("echo", "quick"):
        for headers in ({}, {"X-Request-Id": "a"}, {"Foretell-Explain": "false"}, {"Foretell-Explain": "0"}):
            answer = server.ask(infer(model, [1], headers))
            assert answer.header("server-timing") is None
            assert "parameters" not in answer.json


@pytest.mark.parametrize(("model", "place"), [(Echo(), "thread"), (InlineEcho(), "inline")])
def test_a_request_alone(serve: Any, model: Model, place: str) -> None:
    settings = ModelSettings(inline_limit_ms=60_000)  # a busy machine does not make a call slow
    server: Running = serve(served(model, "echo", settings=settings))
    with server.connect() as wire:
        for _ in range(4):  # the later ones have a head that is known
            answer = wire.send(infer("echo", [1, 2, 3], ASK)).answer()
            assert values(answer) == [1, 2, 3]
            found = told(answer)
            times = {name: found.pop(name) for name in ("queue_ms", "model_ms", "total_ms")}
            assert times["total_ms"] >= times["queue_ms"] + times["model_ms"] - 0.002
            assert found == {
                "batch_requests": 1, "batch_rows": 3, "padding_rows": 0, "padding_values": 0,
                "ran_on": place, "replica": 1, "earlier_tries": 0,
            }  # fmt: skip


def test_where_the_time_went(serve: Any) -> None:
    clock = ManualClock()
    server: Running = serve(served(Slow(clock), "slow", clock=clock))
    found = told(server.ask(infer("slow", [1], ASK)))
    assert (found["queue_ms"], found["model_ms"], found["total_ms"]) == (0, 250, 250)


def test_time_in_the_queue_and_those_in_the_same_batch(serve: Any) -> None:
    clock, gate = ManualClock(), Gate()
    server: Running = serve(served(gate, "gate", clock=clock))
    engine = server.engine("gate")
    first = server.connect().send(infer("gate", [0], ASK))
    gate.wait_entered()
    wires: list[Wire] = [server.connect().send(infer("gate", list(range(n)), ASK)) for n in (1, 2, 3)]
    server.until(lambda: engine.waiting_rows == 6)
    server.on_loop(lambda: clock.advance(0.5))
    gate.open_gate()
    assert told(first.answer())["model_ms"] == 500
    for wire in wires:
        found = told(wire.answer())
        assert (found["queue_ms"], found["model_ms"], found["total_ms"]) == (500, 0, 500)
        assert (found["batch_requests"], found["batch_rows"]) == (3, 6)
    for wire in (first, *wires):
        wire.close()


def test_what_the_cache_had(serve: Any) -> None:
    server: Running = serve(served(Echo(DataType.FP32, (1,)), "echo", settings=ModelSettings(cache_size=100)))
    first = server.ask(infer("echo", [1, 2], ASK))
    assert (told(first)["cached_rows"], told(first)["batch_rows"]) == (0, 2)
    second = server.ask(infer("echo", [2, 3, 1], ASK))
    assert (told(second)["cached_rows"], told(second)["batch_rows"]) == (2, 1)
    assert timing(second)["cache"] == (None, "2 of 3 rows")
    third = server.ask(infer("echo", [1, 2, 3], ASK))
    assert set(told(third)) == {"total_ms", "cached_rows"}
    assert values(third) == [1, 2, 3]


def test_binary_answers_and_compressed_ones(serve: Any) -> None:
    server: Running = serve(echo=Echo(DataType.FP32, (1,)))
    body = json.loads(infer_body(list(range(2000))))
    body["parameters"] = {"binary_data_output": True}
    answer = server.ask(http("POST", "/v2/models/echo/infer", json.dumps(body).encode(), ASK))
    length = int(answer.header("inference-header-content-length") or 0)
    head = json.loads(answer.body[:length])
    assert head["parameters"]["foretell_batch_rows"] == 2000
    assert np.frombuffer(answer.body[length:], np.float32).tolist() == list(range(2000))
    zipped = server.ask(infer("echo", list(range(2000)), {**ASK, "Accept-Encoding": "gzip"}))
    assert json.loads(gzip.decompress(zipped.body))["parameters"]["foretell_batch_rows"] == 2000


def test_the_clients_of_triton_hand_it_over(serve: Any) -> None:
    from tritonclient.http import InferenceServerClient, InferInput

    server: Running = serve(echo=Echo(DataType.FP32, (1,)))
    client = InferenceServerClient(server.url)
    asked = InferInput("x", [2, 1], "FP32")
    asked.set_data_from_numpy(np.ones((2, 1), np.float32))
    result = client.infer("echo", [asked], headers=dict(ASK))
    client.close()
    assert result.get_response()["parameters"]["foretell_batch_rows"] == 2
    assert result.as_numpy("y").tolist() == [[1], [1]]


def test_errors_say_how_long_they_took(serve: Any) -> None:
    clock = ManualClock()

    class Late(Poison):
        def predict(self, batch: Batch, ctx: Context) -> Batch:
            clock.advance(2.0)
            return super().predict(batch, ctx)

    server: Running = serve(served(Late(), "poison", clock=clock))
    answer = server.ask(infer("poison", [666], ASK))
    assert answer.status == 500 and answer.error
    assert timing(answer) == {"total": (2000.0, "")}


@pytest.mark.parametrize("wrong", ["yes", "", "2", "true, true", "é"])
def test_a_header_that_says_neither_yes_nor_no(serve: Any, wrong: str) -> None:
    server: Running = serve(echo=Echo())
    answer = server.ask(infer("echo", [1], {"Foretell-Explain": wrong}))
    assert answer.status == 400
    assert answer.error.startswith("wrong header Foretell-Explain; expected true or false")


class Told(Work):
    """Keeps how it ended."""

    def __init__(self, batch: Batch, engine: Any) -> None:
        group = engine.groups.get(fields_of(batch), {}, Context(), True)
        super().__init__(list(batch.columns.values()), batch.rows, group)
        self.completed: Completed | None = None

    def done(self, completed: Completed, start: int) -> None:
        self.completed = completed

    def fail(self, error: InferenceError) -> None:
        raise error


class Zeros(Doubler):
    def answer(self, batch: Batch, ctx: Context) -> Batch:
        return Batch({"y": Dense(np.zeros(batch.rows))}, batch.rows)


async def test_padding_counts_what_fills_up_rows_and_batches() -> None:
    spec = ModelSpec((TensorSpec("x", DataType.FP64, (None,)),), batch=8, pad={"x": 0.0})
    engine = engine_of(Zeros(**{name: getattr(spec, name) for name in ("inputs", "batch", "pad")}), warm_up=False)
    ragged = Ragged(Dense(np.arange(28.0)), np.array([0, 8, 18, 28]))
    work = Told(Batch({"x": ragged}, 3), engine)
    engine.submit(work)
    await engine.drain()
    assert work.completed is not None
    found = explanation(work.completed, engine.spec, work.arrived, work.arrived)
    assert (found["padding_rows"], found["padding_values"]) == (5, 2)
    engine.close()
