"""Many models and room for few: nobody is told that a model is unavailable, and there are never more in memory."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from repositories import Later, Manage, Managed, put, times
from room_models import Probe, word
from stream_client import Events, ask_stream
from wire import Answer, http, infer, infer_body, values

from foretell.clock import ManualClock

Start = Callable[..., Managed]
ON_ONE_LOOP = pytest.mark.parametrize("new_loop", ["uvloop"], indirect=True)


def get(server: Managed, path: str) -> Answer:
    return server.ask(http("GET", path))


def in_memory(server: Managed) -> list[str]:
    return [one.name for one in server.on_loop(server.loader.catalog.loaded)]


def until_waiting(server: Managed, name: str, count: int) -> None:
    wanted = server.loader.wanted
    assert wanted is not None
    server.until(lambda: wanted.waiting((name, "1")) == count)


@ON_ONE_LOOP
def test_fifty_models_have_room_for_five(start: Start, probe: Probe) -> None:
    server, wrong = start(50, room=5), list[object]()
    assert in_memory(server) == ["m1", "m2", "m3", "m4", "m5"]

    def client(seed: int) -> None:
        chance = random.Random(seed)
        with server.connect() as wire:
            for _ in range(3):
                model, x = chance.randrange(1, 51), chance.randrange(1000)
                answer = wire.send(infer(f"m{model}", [x])).answer()
                if answer.status != 200 or values(answer) != [x * model]:
                    wrong.append(answer)

    clients = [threading.Thread(target=client, args=(seed,), daemon=True) for seed in range(40)]
    for each in clients:
        each.start()
    for each in clients:
        each.join(60)
    assert wrong == []
    assert probe.peak == 5
    assert len(in_memory(server)) == 5
    assert probe.loads.total() > 30


def test_a_burst_for_a_model_that_is_away_is_answered_after_one_load(start: Start, probe: Probe) -> None:
    server = start(2)
    probe.hold("m2", "load")
    wires = [server.connect() for _ in range(10)]
    for first, wire in enumerate(wires):
        wire.send(b"".join(infer("m2", [100 * first + n]) for n in range(100)))
    until_waiting(server, "m2", 1000)
    assert 'foretell_queue_rows{model="m2",version="1"} 1000' in get(server, "/metrics").body.decode()
    probe.let("m2", "load")
    for first, wire in enumerate(wires):
        assert [values(wire.answer()) for _ in range(100)] == [[2 * (100 * first + n)] for n in range(100)]
        wire.close()
    assert probe.loads["m2"] == 1


def test_one_too_many_is_told_to_come_back(start: Start, probe: Probe) -> None:
    server = start(2, max_queue_size=3)
    probe.hold("m2", "load")
    with server.connect() as wire:
        wire.send(b"".join(infer("m2", [n]) for n in range(3)))
        until_waiting(server, "m2", 3)
        refused = server.ask(infer("m2", [4]))
        assert (refused.status, refused.header("retry-after")) == (429, "1")
        assert refused.error.startswith("model 'm2': too many requests wait for the model to be loaded")
        probe.let("m2", "load")
        assert [values(wire.answer()) for _ in range(3)] == [[0], [2], [4]]
    assert server.failures("m2", "overloaded") == 1


def test_the_one_that_was_asked_least_lately_makes_place(start: Start) -> None:
    server = start(4, room=3)
    for name in ("m1", "m3", "m2", "m1", "m4"):
        server.predict(name, 1)
    assert in_memory(server) == ["m1", "m2", "m4"]


def test_who_leaves_while_the_model_loads_harms_nobody(start: Start, probe: Probe) -> None:
    server = start(2)
    probe.hold("m2", "load")
    with server.connect() as leaver, server.connect() as stayer:
        leaver.send(infer("m2", [1]))
        stayer.send(infer("m2", [2]))
        until_waiting(server, "m2", 2)
        leaver.close()
        until_waiting(server, "m2", 1)
        probe.let("m2", "load")
        assert values(stayer.answer()) == [4]
    assert server.failures("m2", "cancelled") == 1


def test_what_nobody_waits_for_any_more_is_not_loaded(start: Start, probe: Probe) -> None:
    server = start(3)
    probe.hold("m2", "load")
    with server.connect() as wire:
        wire.send(infer("m2", [1]))
        probe.wait("m2", "load")
        with server.connect() as leaver:
            leaver.send(infer("m3", [1]))
            until_waiting(server, "m3", 1)
        until_waiting(server, "m3", 0)
        probe.let("m2", "load")
        assert values(wire.answer()) == [2]
    assert server.predict("m1", 1) == 1
    assert (probe.loads["m3"], probe.peak) == (0, 1)


def test_a_model_that_cannot_be_loaded_harms_only_who_asks_for_it(start: Start, probe: Probe) -> None:
    clock = ManualClock()
    server = start(3, room=2, clock=clock)
    probe.broken.add("m3")
    failed = [server.ask(infer("m3", [1])) for _ in range(5)]
    for answer in failed:
        assert (answer.status, answer.json["code"], answer.header("retry-after")) == (503, "not_ready", "1")
        assert answer.error.startswith("model 'm3' version 1: it cannot be loaded: ")
        assert "it is broken" in answer.error
    assert probe.loads["m3"] == 1, "it is not loaded again for each request"
    assert server.failures("m3", "not_ready") == 5
    assert get(server, "/v2/models/m3/ready").status == 503
    assert get(server, "/v2/health/ready").status == 200
    entry = next(one for one in server.index() if one["name"] == "m3")
    assert entry["state"] == "UNAVAILABLE"
    assert "it is broken" in entry["reason"]
    assert 'foretell_model_ready{model="m3",version="1"} 0' in get(server, "/metrics").body.decode()
    assert [server.predict(name, 1) for name in ("m1", "m2")] == [1, 2]
    assert any("m3 version 1 could not be loaded" in line for line in server.said)
    clock.advance(1)
    again = [server.ask(infer("m3", [1])) for _ in range(2)]
    assert [answer.header("retry-after") for answer in again] == ["2", "2"], "ever more seldom"
    assert probe.loads["m3"] == 2
    probe.broken.clear()
    assert server.load("m3").status == 200, "whoever has mended it need not wait"
    assert server.predict("m3", 1) == 3
    assert probe.peak == 2


def test_a_load_that_hangs_holds_up_nobody_else(start: Start, probe: Probe) -> None:
    server = start(3, room=2, load_timeout_s=0.5)
    server.loader.intake.holds_up_s = 0.01
    probe.hold("m3", "load")
    with server.connect() as wire:
        wire.send(infer("m3", [1]))
        probe.wait("m3", "load")
        assert [server.predict(name, 1) for name in ("m1", "m2", "m1")] == [1, 2, 1]
        answer = wire.answer()
        assert (answer.status, "it took longer than 0.5 s" in answer.error) == (503, True)
    assert [server.predict(name, 1) for name in ("m1", "m2", "m1")] == [1, 2, 1]
    assert probe.peak == 2, "what it takes is not taken twice"
    probe.let("m3", "load")
    server.until(lambda: probe.alive["m3"] == 0, pause_s=0.01)
    assert server.load("m3").status == 200
    assert [server.predict(name, 1) for name in ("m1", "m2", "m3")] == [1, 2, 3]
    assert probe.peak == 2


def test_a_request_waits_no_longer_than_it_says(start: Start, probe: Probe) -> None:
    server = start(2)
    probe.hold("m2", "load")
    body = json.loads(infer_body([1])) | {"parameters": {"timeout": 1000}}
    late = server.ask(http("POST", "/v2/models/m2/infer", json.dumps(body).encode()))
    assert (late.status, late.json["code"]) == (504, "deadline_exceeded")
    assert late.error == "model 'm2': the time limit passed while the model was loaded"
    for given in ({"x": 1, "timeout": 1000}, {"x": 1, "parameters": {"timeout": 1000}}):
        assert server.ask(ask_stream("m2", given)).status == 504
    probe.let("m2", "load")
    assert server.predict("m2", 1) == 2
    assert server.failures("m2", "deadline_exceeded") == 3


def test_unloading_by_hand_what_is_just_being_loaded(start: Start, probe: Probe) -> None:
    server = start(2)
    probe.hold("m2", "load")
    with server.connect() as wire:
        wire.send(infer("m2", [1]))
        probe.wait("m2", "load")
        unloading = Later(lambda: server.unload("m2"))
        probe.let("m2", "load")
        assert values(wire.answer()) == [2], "it was accepted before"
        assert unloading.answer().status == 200
    assert server.ask(infer("m2", [1])).status == 404
    assert server.predict("m1", 1) == 1
    assert probe.alive["m2"] == 0


@ON_ONE_LOOP
def test_a_model_that_always_has_something_to_do_makes_place(start: Start, probe: Probe) -> None:
    server = start(2)
    probe.hold("m1", "call")
    with server.connect() as busy, server.connect() as other, server.connect() as late:
        busy.send(infer("m1", [1]) + infer("m1", [2]))
        probe.wait("m1", "call")
        other.send(infer("m2", [1]))
        server.until(lambda: not server.loader.catalog.loaded(), pause_s=0.01)
        late.send(infer("m1", [3]))
        until_waiting(server, "m1", 1)
        probe.let("m1", "call")
        assert [values(busy.answer()) for _ in range(2)] == [[1], [2]], "it has been accepted"
        assert values(other.answer()) == [2]
        assert values(late.answer()) == [3], "it waits as for any that is away"
    assert probe.loads == {"m1": 2, "m2": 1}
    assert probe.peak == 1


@ON_ONE_LOOP
def test_a_stream_goes_on_to_its_end_though_its_place_is_wanted(manage: Manage, probe: Probe, tmp_path: Path) -> None:
    words = [word(tmp_path, "s", 1, "SeenStream"), word(tmp_path, "m2", 2)]
    server = manage(*words, max_loaded_models=1, executor="thread", drain_timeout_s=0)
    probe.hold("s", "call")
    with server.connect() as wire, server.connect() as other, server.connect() as late:
        events = Events(wire.send(ask_stream("s", {"x": 3})))
        assert events.next()["y"] == 0
        other.send(infer("m2", [1]))
        server.until(lambda: not server.loader.catalog.loaded(), pause_s=0.01)
        late.send(ask_stream("s", {"x": 1}))
        until_waiting(server, "s", 1)
        probe.wait("s", "call")
        probe.let("s", "call")
        assert [event["y"] for event in events.all()] == [1, 2]
        assert values(other.answer()) == [2]
        assert [event["y"] for event in Events(late).all()] == [0], "a new one waits for the model to come back"
    assert probe.peak == 1


def test_two_versions_are_two_models_in_memory(manage: Manage, tmp_path: Path) -> None:
    for version in (1, 2, 10):
        put(tmp_path / f"m/{version}/model.onnx", times(version))
    server = manage(tmp_path, max_loaded_models=1)
    assert [one.version for one in server.loader.catalog.loaded()] == ["10"], "the newest before older ones"
    for version in ("1", "10", "2", None, "1"):
        path = f"/v2/models/m/versions/{version}/infer" if version else "/v2/models/m/infer"
        assert values(server.ask(http("POST", path, infer_body([1])))) == [int(version or 10)]
        assert [one.version for one in server.loader.catalog.loaded()] == [version or "10"]
