"""A shadow is asked what another version has answered, its answers are compared, and no caller notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from known_requests import patterns, teach
from served_models import WAIT_S, Echo, Gate, InlineEcho, Poison, Scores
from serving import Running, served
from streaming_models import Streaming
from wire import Answer, http, infer, values

from foretell.columns import Batch, Bytes, Column, Dense
from foretell.compare import gaps
from foretell.errors import InvalidSetting
from foretell.model import Context, Model
from foretell.serve.rate import Rate
from foretell.serve.shadow import OutputGap, Shadow
from foretell.types import DataType, ModelSpec

Serve = Callable[..., Running]


class Off(Echo):
    """Answers one more than asked where that is 10 and more."""

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        x = batch.dense("x")
        return Batch({"y": Dense(np.where(x >= 10, x + 1, x).astype(x.dtype))}, batch.rows)


class Held(Gate):
    """On the event loop, if nobody else has it."""

    native = True


def two(serve: Serve, other: Model, share: str = "100%", first: Model | None = None, **options: Any) -> Running:
    """A server whose version 2 is the shadow of version 1."""
    versions = [served(first or Echo(), "echo", "1"), served(other, "echo", "2")]
    return serve(*versions, shadow=(f"echo=2:{share}",), **options)


def shadow_of(server: Running, name: str = "echo") -> Shadow:
    found = server.application.trials.shadow(name)
    assert found is not None
    return found


def report(server: Running) -> dict[str, Any]:
    told: dict[str, Any] = server.ask(http("GET", "/v2/models/echo/config")).json["foretell"]["shadow"]
    return told


def counts(server: Running, requests: int) -> dict[str, int]:
    """What has become of so many requests of the share, once all are counted; what did not occur left out."""
    shadow = shadow_of(server)
    server.until(lambda: sum(shadow.counts.values()) >= requests, 0.01)
    return {outcome: count for outcome, count in shadow.counts.items() if count}


def by_first(answer: Answer) -> list[float]:
    assert answer.status == 200 and answer.json["model_version"] == "1", answer.body
    found: list[float] = values(answer)
    return found


def test_answers_are_compared_and_are_those_of_the_first(serve: Serve) -> None:
    server = two(serve, Off())
    with server.connect() as wire:
        for number in range(40):
            row = [number, number + 1]
            assert by_first(wire.send(infer("echo", row, {"X-Request-Id": f"r{number}"})).answer()) == row
    assert counts(server, 40) == {"same": 9, "different": 31}
    told = report(server)
    assert (told["version"], told["share"], told["there"], told["requests"]["different"]) == ("2", 1.0, True, 31)
    greatest = {"greatest_absolute": 1.0, "greatest_relative": pytest.approx(1 / 11), "request_id": "r10"}
    assert told["outputs"] == {"y": {"rows": 80, "different": 61, **greatest}}
    text = server.application.metrics()
    assert 'foretell_shadow_requests_total{model="echo",version="2",outcome="different"} 31' in text
    labels = 'model="echo",version="2",output="y"'
    assert f'foretell_shadow_relative_difference_bucket{{{labels},le="0"}} 19' in text
    assert f'foretell_shadow_relative_difference_bucket{{{labels},le="0.1"}} 80' in text
    assert f"foretell_shadow_relative_difference_count{{{labels}}} 80" in text


@pytest.mark.parametrize("model", [Echo, InlineEcho])
def test_requests_of_the_usual_kind_are_compared_too_in_calls_of_several(serve: Serve, model: type[Echo]) -> None:
    other = model()
    server = two(serve, other, first=model())
    with server.connect() as wire:
        teach(wire, infer("echo", [1]), server)
        assert len(patterns(server))
        taught = shadow_of(server)
        before = sum(taught.counts.values()) + taught._waiting.qsize()
        wire.send(b"".join(infer("echo", [number, -number]) for number in range(100)))
        assert [by_first(wire.answer()) for _ in range(100)] == [[number, -number] for number in range(100)]
    found = counts(server, before + 100)
    assert set(found) == {"same"} and max(other.batches) > 2


def test_versions_that_are_named_have_no_shadow(serve: Serve) -> None:
    server = two(serve, Off())
    for version in ("1", "2"):
        assert server.ask(infer(f"echo/versions/{version}", [10])).json["model_version"] == version
    server.ask(infer("echo", [1]))
    assert counts(server, 1) == {"same": 1}


@pytest.mark.parametrize(("share", "least", "most"), [("0%", 0, 0), ("25%", 100, 300)])
def test_it_is_asked_its_share(serve: Serve, share: str, least: int, most: int) -> None:
    server = two(serve, Off(), share)
    with server.connect() as wire:
        for _ in range(800):
            wire.send(infer("echo", [1])).answer()
    shadow = shadow_of(server)
    server.until(lambda: shadow._taken_bytes == shadow._ended_bytes, 0.01)
    assert least <= sum(shadow.counts.values()) <= most, "200, of which 8 deviations are 98"


def test_one_that_fails_is_told_and_no_caller_notices(serve: Serve) -> None:
    server = two(serve, Poison())
    with server.connect() as wire:
        requests = [infer("echo", [666 if number % 5 == 0 else number]) for number in range(1, 21)]
        wire.send(b"".join(requests))
        answers = [by_first(wire.answer()) for _ in requests]
    assert answers == [[666 if number % 5 == 0 else number] for number in range(1, 21)]
    assert counts(server, 20) == {"same": 16, "failed": 4}
    assert "ValueError" in report(server)["last_error"] or "model" in report(server)["last_error"]


def test_other_inputs_are_a_failure_of_the_shadow(serve: Serve) -> None:
    server = two(serve, Scores())
    assert by_first(server.ask(infer("echo", [1]))) == [1]
    assert counts(server, 1) == {"failed": 1}
    assert "input 'x'" in report(server)["last_error"]


def test_one_that_hangs_holds_nobody_up_and_what_it_misses_is_counted(serve: Serve) -> None:
    gate = Gate()
    server = two(serve, gate)
    asked = 3000
    with server.connect() as wire:
        by_first(wire.send(infer("echo", [0])).answer())
        gate.wait_entered()
        for start in range(0, asked, 100):
            wire.send(b"".join(infer("echo", [number]) for number in range(start, start + 100)))
            assert [by_first(wire.answer()) for _ in range(100)] == [[n] for n in range(start, start + 100)]
    shadow = shadow_of(server)
    missed = shadow.counts["queue_full"] + shadow.counts["over_rate"]
    assert missed >= asked - 1024 - 100, "a hundred are chosen before the first has its answer"
    gate.open_gate()
    found = counts(server, asked + 1)
    assert sum(found.values()) == asked + 1 and "failed" not in found


def test_no_more_are_copied_than_the_server_has_time_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.serve.shadow._RATE", Rate(1e-3, 10))
    server = two(serve, Echo())
    with server.connect() as wire:
        wire.send(b"".join(infer("echo", [number]) for number in range(50)))
        assert [by_first(wire.answer()) for _ in range(50)] == [[number] for number in range(50)]
    assert counts(server, 50) == {"same": 10, "over_rate": 40}


def test_a_caller_who_names_it_meanwhile_does_not_stop_the_server(serve: Serve) -> None:
    """Whoever shares its replica with the shadow waits for it away from the event loop."""
    gate = Held()
    gate.open_gate()  # for the first call, which warms it up
    server = two(serve, gate)
    gate.close_gate()
    server.ask(infer("echo", [77]))
    server.until(lambda: 77 in gate.seen)
    with server.connect() as wire:
        wire.send(infer("echo/versions/2", [5]))
        for number in range(20):
            assert by_first(server.ask(infer("echo", [number]))) == [number]
        gate.open_gate()
        assert values(wire.answer()) == [5]


def test_what_got_no_answer_and_what_is_too_large_is_not_asked(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Echo(DataType.FP32, (1,))
    server = two(serve, other, first=Poison())
    for bad in ([666], [1, 2, "x"]):
        assert server.ask(infer("echo", bad)).status >= 400
    assert counts(server, 2) == {"not_answered": 2}
    monkeypatch.setattr(Shadow, "most_bytes", 100)
    assert by_first(server.ask(infer("echo", [1] * 60))) == [1] * 60
    assert counts(server, 3) == {"not_answered": 2, "too_large": 1}
    assert not other.batches


def test_the_end_of_the_server_does_not_wait_for_what_waits(serve: Serve) -> None:
    gate = Gate()
    server = two(serve, gate)
    with server.connect() as wire:
        wire.send(infer("echo", [0])).answer()
        gate.wait_entered()
        for number in range(20):
            wire.send(infer("echo", [number])).answer()
    shadow = shadow_of(server)
    gate.open_gate()
    server.close()
    assert sum(shadow.counts.values()) == 21 and not shadow._taken_bytes - shadow._ended_bytes


def test_the_end_of_the_server_does_not_wait_for_a_call_that_hangs(serve: Serve) -> None:
    gate = Gate()
    server = two(serve, gate)
    server.ask(infer("echo", [0]))
    gate.wait_entered()
    server.application.trials.close()
    thread = shadow_of(server)._thread
    assert thread is not None and thread.is_alive()
    gate.open_gate()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_one_that_goes_and_comes_back(serve: Serve) -> None:
    server = two(serve, Echo())
    server.ask(infer("echo", [1]))
    assert counts(server, 1) == {"same": 1}
    gone = server.catalog.resolve("echo", "2")
    server.change(lambda catalog: catalog.remove("echo", "2"))
    assert by_first(server.ask(infer("echo", [1]))) == [1]
    assert report(server)["there"] is False
    server.change(lambda catalog: catalog.put(gone))
    assert by_first(server.ask(infer("echo", [1]))) == [1]
    assert counts(server, 2) == {"same": 2}
    gone.engine.close()
    assert by_first(server.ask(infer("echo", [1]))) == [1]
    assert counts(server, 3) == {"same": 2, "not_ready": 1}


def test_beside_a_canary_it_is_asked_what_the_rest_is_asked(serve: Serve) -> None:
    versions = [served(Echo(), "echo", version) for version in "123"]
    server = serve(*versions, shadow=("echo=2:100%",), canary=("echo=3:50%",))
    found = Counter(server.ask(infer("echo", [1])).json["model_version"] for _ in range(60))
    assert set(found) == {"1", "3"}
    assert counts(server, found["1"]) == {"same": found["1"]}


def test_beside_the_prediction_log_each_takes_its_own_share(serve: Serve, tmp_path: Any) -> None:
    path = tmp_path / "log.jsonl"
    server = two(serve, Echo(), "50%", prediction_log=str(path), prediction_log_sample=0.5)
    for _ in range(200):
        server.ask(infer("echo", [1]))
    shadow = shadow_of(server)
    server.until(lambda: shadow._taken_bytes == shadow._ended_bytes, 0.01)
    server.close()
    compared, logged = sum(shadow.counts.values()), len(path.read_text().splitlines())
    assert 40 < compared < 160 and 40 < logged < 160, "100 each, of which 8 deviations are 57"
    assert '"version":"2"' not in path.read_text()


class Uneven(Echo):
    """Answers texts where another one answers numbers, and one output more."""

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return Batch({"y": Bytes.of([b"a"] * batch.rows), "more": batch.columns["x"]}, batch.rows)


def test_other_outputs_differ_in_each_row(serve: Serve) -> None:
    other = Uneven()
    other.spec = ModelSpec(inputs=other.spec.inputs)
    server = two(serve, other)
    server.ask(infer("echo", [1, 2], {"X-Request-Id": "mine"}))
    assert counts(server, 1) == {"different": 1}
    outputs = report(server)["outputs"]
    assert outputs["y"] == outputs["more"] == {
        "rows": 2, "different": 2, "greatest_absolute": 0.0, "greatest_relative": 2.0, "request_id": "mine"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shadow", "said"),
    [
        ("other=2:5%", "there is no model 'other' for a shadow"),
        ("echo=7:5%", "model 'echo' has no such version; expected version 1, 2, got 7"),
        ("echo=2:101%", "the share of model 'echo' is out of range"),
        ("alone=1:5%", "model 'alone' has no other version"),
        ("count=2:5%", "model 'count' cannot have a shadow; expected a model that answers each row by itself"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(serve: Serve, shadow: str, said: str) -> None:
    models = [served(Echo(), "echo", "1"), served(Echo(), "echo", "2"), served(Echo(), "alone", "1")]
    models += [served(Streaming(), "count", version) for version in "12"]
    with pytest.raises(InvalidSetting, match=said):
        serve(*models, shadow=(shadow,))


def test_somebody_has_to_answer(serve: Serve) -> None:
    with pytest.raises(InvalidSetting, match=r"'echo' has no other version, .* got version 1, 2 alone"):
        serve(*(served(Echo(), "echo", version) for version in "12"), shadow=("echo=1:5%",), canary=("echo=2:5%",))
    with pytest.raises(InvalidSetting, match="has two shadows"):
        serve(*(served(Echo(), "echo", version) for version in "123"), shadow=("echo=2:5%", "echo=3:5%"))


@pytest.mark.parametrize(
    ("one", "other", "relative"),
    [
        (Dense(np.array([1.0, np.nan, 0.0])), Dense(np.array([1.0, np.nan, -0.0])), [0, 0, 0]),
        (Dense(np.array([[1.0, 4.0], [1.0, np.inf]])), Dense(np.array([[1.5, 4.0], [1.0, 2.0]])), [1 / 3, np.inf]),
        (Dense(np.array([3, 4])), Dense(np.array([3, 5])), [0, np.inf]),
        (Bytes.of([b"a", b"b"]), Bytes.of([b"a", b"c"]), [0, np.inf]),
    ],
)
def test_how_far_rows_are_apart(one: Column, other: Column, relative: list[float]) -> None:
    assert gaps(one, other).relative.tolist() == pytest.approx(relative)


def test_the_last_of_the_rows_that_differ_most_is_remembered() -> None:
    gap = OutputGap()
    for at, number in enumerate([1.0, 1.5, 1.2, 1.5, 1.0]):
        gap.add(gaps(Dense(np.array([1.0])), Dense(np.array([number]))), [f"r{at}".encode()])
    assert gap.report() == {
        "rows": 5, "different": 3, "greatest_absolute": 0.5, "greatest_relative": pytest.approx(1 / 3),
        "request_id": "r3",
    }  # fmt: skip
