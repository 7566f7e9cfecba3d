"""The catalogue changes while the door is open."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
from served_models import Echo, Gate, InlineEcho, Poison
from serving import Running, served
from wire import Answer, http, infer, infer_body, values

from foretell.catalog import Served
from foretell.columns import Batch, Dense
from foretell.model import Context, Model
from foretell.types import DataType

Serve = Callable[..., Running]


class Times(Echo):
    """Answers `y` = `x` times a factor, so that an answer tells which model it came from."""

    def __init__(self, factor: float) -> None:
        super().__init__(DataType.FP32, (1,))
        self.factor = factor

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return Batch({"y": Dense(batch.dense("x") * self.factor)}, batch.rows)


def get(server: Running, path: str) -> Answer:
    return server.ask(http("GET", path))


def test_a_version_that_is_swapped_answers_from_the_next_request_on(serve: Serve) -> None:
    old, new = served(Times(2), "m"), served(Times(3), "m")
    server = serve(old)
    with server.connect() as wire:
        assert values(wire.send(infer("m", [1])).answer()) == [2]
        server.change(lambda catalog: catalog.swap(old, new))
        assert values(wire.send(infer("m", [1])).answer()) == [3]
        assert values(wire.send(http("POST", "/v2/models/m/versions/1/infer", infer_body([1]))).answer()) == [3]
    old.engine.close()


def test_without_a_version_the_newest_of_the_moment_answers(serve: Serve) -> None:
    server = serve(served(Times(2), "m", "1"))
    assert values(server.ask(infer("m", [1]))) == [2]
    assert get(server, "/v2/models/m").json["versions"] == ["1"]
    newer = served(Times(3), "m", "2")
    server.change(lambda catalog: catalog.put(newer))
    assert values(server.ask(infer("m", [1]))) == [3]
    assert get(server, "/v2/models/m").json["versions"] == ["1", "2"]
    server.change(lambda catalog: catalog.remove("m", "2"))
    assert values(server.ask(infer("m", [1]))) == [2]
    assert get(server, "/v2/models/m/versions/2/ready").status == 404
    newer.engine.close()


def test_a_model_that_is_gone_is_unknown_on_every_route(serve: Serve) -> None:
    server = serve(served(Times(2), "m"), echo=Echo())
    paths = ["/v2/models/m", "/v2/models/m/ready", "/v2/models/m/config", "/v2/models/m/versions/1"]
    assert [get(server, path).status for path in paths] == [200] * len(paths)
    assert values(server.ask(infer("m", [1]))) == [2]
    gone: list[Served] = []
    server.change(lambda catalog: gone.extend(catalog.remove("m")))
    for answer in [*(get(server, path) for path in paths), server.ask(infer("m", [1]))]:
        assert answer.status == 404
        assert answer.error.startswith("Request for unknown model: 'm' is not found")
    assert 'model="m"' not in get(server, "/metrics").body.decode()
    assert get(server, "/v2/health/ready").status == 200
    gone[0].engine.close()


def test_what_was_accepted_before_is_answered_by_the_version_that_took_it(serve: Serve) -> None:
    gate = Gate(Times(2))
    old, new = served(gate, "m"), served(Times(3), "m")
    server = serve(old)
    with server.connect() as early, server.connect() as late:
        early.send(infer("m", [1]))
        gate.wait_entered()
        server.change(lambda catalog: catalog.swap(old, new))
        assert values(late.send(infer("m", [1])).answer()) == [3]
        gate.open_gate()
        assert values(early.answer()) == [2]
    old.engine.close()


def test_what_still_waits_when_its_version_closes_is_answered_by_the_next(serve: Serve) -> None:
    gate = Gate(Times(2))
    old, new = served(gate, "m"), served(Times(3), "m")
    server = serve(old)
    with server.connect() as running, server.connect() as waiting:
        running.send(infer("m", [1]))
        gate.wait_entered()
        waiting.send(infer("m", [10]) + infer("m", [20]))
        server.until(lambda: old.engine.waiting_rows == 2)
        server.change(lambda catalog: catalog.swap(old, new))
        for batcher in old.engine.batchers:
            server.on_loop(batcher.close)
        assert [values(waiting.answer()) for _ in range(2)] == [[30], [60]]
        gate.open_gate()
        assert values(running.answer()) == [2]
    old.engine.close()


def test_who_holds_an_old_door_is_answered_by_the_new_version(serve: Serve) -> None:
    """Somebody may find the way to a model, wait for something else, and only then go it."""
    old, new = served(Times(2), "m"), served(Times(3), "m")
    server = serve(old)
    door = server.on_loop(lambda: server.application._find(b"/v2/models/m/infer")).methods[b"POST"]
    server.change(lambda catalog: catalog.swap(old, new))
    old.engine.close()
    server.on_loop(lambda: setattr(server.application.server, "handle", door))
    with server.connect() as wire:
        assert values(wire.send(infer("m", [1])).answer()) == [3]


@pytest.mark.parametrize("how", ["swapped", "removed"])
@pytest.mark.parametrize("kind", [Times, Poison, InlineEcho])
def test_nothing_keeps_a_model_that_is_gone(serve: Serve, kind: Callable[..., Model], how: str) -> None:
    """Not even for the garbage collector, which a server lets rest."""
    server = serve(served(kind(2) if kind is Times else kind(), "m"), echo=Echo())
    gc.collect()
    gc.disable()
    try:
        with server.connect() as wire:
            assert wire.send(infer("m", [1])).answer().status == 200
            assert wire.send(infer("m", [666])).answer().status == (500 if kind is Poison else 200)
            assert wire.send(infer("m", ["x"])).answer().status == 400
            wire.send(http("GET", "/v2/models/m")).answer()
            model = weakref.ref(server.catalog.resolve("m").engine.model)
            _end(server, swap=how == "swapped")
            assert wire.send(infer("m", [1])).answer().status == (200 if how == "swapped" else 404)
            assert model() is None
    finally:
        gc.enable()


def _end(server: Running, *, swap: bool) -> None:
    old = server.catalog.resolve("m")
    if swap:
        new = served(Times(3), "m")
        server.change(lambda catalog: catalog.swap(old, new))
    else:
        server.change(lambda catalog: catalog.remove("m"))
    old.engine.close()
