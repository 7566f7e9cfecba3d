"""Models come into memory and go while their files change, people ask about them, and the server ends."""

from __future__ import annotations

import gc
import gzip
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from repositories import Later, Manage, Managed, put, ready, times
from room_models import Probe, word
from stream_client import Events, ask_stream
from wire import Answer, http, infer, infer_body, values

from foretell.clock import ManualClock
from foretell.errors import InferenceError
from foretell.repository.watching import Watcher

Start = Callable[..., Managed]


def get(server: Managed, path: str) -> Answer:
    return server.ask(http("GET", path))


def in_memory(server: Managed) -> list[str]:
    return [one.name for one in server.on_loop(server.loader.catalog.loaded)]


def until_waiting(server: Managed, name: str, count: int) -> None:
    wanted = server.loader.wanted
    assert wanted is not None
    server.until(lambda: wanted.waiting((name, "1")) == count)


def figure(server: Managed, line: str) -> float:
    lines = get(server, "/metrics").body.decode().splitlines()
    return next(float(each.rpartition(" ")[2]) for each in lines if each.startswith(line))


def look(server: Managed) -> None:
    """As after a SIGHUP."""
    server.wait(lambda: Watcher(server.loader, None).look(patient=False))


def test_what_nobody_asks_goes_and_comes_back(start: Start, probe: Probe) -> None:
    clock = ManualClock()
    server = start(2, room=None, idle_unload_s=0.02, clock=clock)
    assert probe.loads == {"m1": 1, "m2": 1}, "all are loaded at the start"
    assert server.predict("m1", 1) == 1
    clock.advance(0.03)
    server.until(lambda: not probe.alive.total(), pause_s=0.01)
    assert server.predict("m1", 3) == 3, "the first request after a rest is answered"
    assert probe.loads == {"m1": 2, "m2": 1}
    assert figure(server, 'foretell_requests_total{model="m1",version="1",outcome="ok"}') == 2, "it counts on"
    assert figure(server, 'foretell_model_evictions_total{reason="idle"}') == 2


def test_who_has_something_to_do_is_not_idle(start: Start, probe: Probe) -> None:
    clock = ManualClock()
    server = start(2, room=None, idle_unload_s=0.02, clock=clock)
    probe.hold("m1", "call")
    with server.connect() as wire:
        wire.send(infer("m1", [1]))
        probe.wait("m1", "call")
        clock.advance(0.03)
        server.until(lambda: not probe.alive["m2"], pause_s=0.01)
        assert in_memory(server) == ["m1"]
        probe.let("m1", "call")
        assert values(wire.answer()) == [1]
    assert in_memory(server) == ["m1"], "its rest begins now"
    clock.advance(0.03)
    server.until(lambda: not probe.alive.total(), pause_s=0.01)


def test_without_the_settings_nothing_is_there(manage: Manage, repository: Path) -> None:
    server = manage(repository)
    server.predict("two", 1)
    engine = server.engine("two")
    (door,) = server.application._doors.values()
    assert door.submit == engine.batchers[0].submit
    assert door.submit_alone == engine.batchers[0].submit_alone
    assert server.loader.room is None
    assert "foretell_model_in_memory" not in get(server, "/metrics").body.decode()


def test_whoever_asks_is_told_the_truth(manage: Manage, repository: Path) -> None:
    server = manage(repository, max_loaded_models=1)
    assert in_memory(server) == ["three"]
    away = {**ready("two"), "reason": "a request has it loaded"}
    assert server.index() == [ready("three"), away]
    assert server.index(b'{"ready": true}') == [ready("three"), away]
    assert get(server, "/v2/health/ready").status == 200
    assert get(server, "/v2/models/two/ready").json == {"name": "two", "ready": True}
    assert in_memory(server) == ["three"], "nobody has asked for it"
    assert figure(server, 'foretell_model_ready{model="two",version="1"}') == 1
    assert figure(server, 'foretell_model_in_memory{model="two",version="1"}') == 0
    paths = get(server, "/openapi.json").json["paths"]
    assert {path for path in paths if "/two/" in path} >= {"/v2/models/two/infer", "/v2/models/two/versions/1/infer"}
    assert get(server, "/v2/models/two").json["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
    assert in_memory(server) == ["two"]
    assert get(server, "/v2/models/three/config").json["name"] == "three"
    assert in_memory(server) == ["three"]
    assert get(server, "/v2/models/two/versions/2").status == 404
    assert server.ask(http("GET", "/v2/models/two/infer")).status == 405
    schemas = get(server, "/openapi.json").json["components"]["schemas"]
    assert "x" in str(schemas["two.1.Request"]), "what was known of it is still known"


def test_a_body_in_another_encoding_waits_too(manage: Manage, repository: Path) -> None:
    server = manage(repository, max_loaded_models=1)
    packed = gzip.compress(infer_body([5]))
    for name, answer in (("two", 10), ("three", 15)):
        request = http("POST", f"/v2/models/{name}/infer", packed, {"Content-Encoding": "gzip"})
        assert values(server.ask(request)) == [answer]


def test_a_file_that_has_changed_is_what_is_loaded_next(manage: Manage, repository: Path) -> None:
    server = manage(repository, max_loaded_models=1)
    put(repository / "two/1/model.onnx", times(20))
    look(server)
    assert in_memory(server) == ["three"], "a look loads nothing that is away"
    assert server.predict("two", 1) == 20
    put(repository / "three/1/model.onnx", times(30))
    assert server.predict("three", 1) == 30, "whether anybody has looked or not"
    look(server)
    assert in_memory(server) == ["three"]


@pytest.mark.parametrize("new_loop", ["uvloop"], indirect=True)
def test_a_file_may_change_while_its_place_is_waited_for(manage: Manage, probe: Probe, tmp_path: Path) -> None:
    put(tmp_path / "repo/two/1/model.onnx", times(2))
    words = [word(tmp_path, "m1", 1), str(tmp_path / "repo")]
    server = manage(*words, max_loaded_models=1, executor="thread")
    probe.hold("m1", "call")
    with server.connect() as busy, server.connect() as wire:
        busy.send(infer("m1", [1]))
        probe.wait("m1", "call")
        wire.send(infer("two", [1]))
        server.until(lambda: not server.loader.catalog.loaded(), pause_s=0.01)
        put(tmp_path / "repo/two/1/model.onnx", times(20))
        probe.let("m1", "call")
        assert values(busy.answer()) == [1]
        assert values(wire.answer()) == [20]


def test_what_was_learned_of_a_model_comes_back_with_it(manage: Manage, repository: Path) -> None:
    server = manage(repository, max_loaded_models=1)
    assert values(server.ask(infer("three", list(range(64))))) == [3 * n for n in range(64)]
    learned = server.engine("three").profile.table()
    assert 64 in learned
    assert [server.predict(name, 1) for name in ("two", "three")] == [2, 3]
    assert server.engine("three").profile.table()[64] == learned[64]


def test_models_and_versions_come_and_go(manage: Manage, repository: Path) -> None:
    server = manage(repository, max_loaded_models=1)
    put(repository / "four/1/model.onnx", times(4))
    look(server)
    assert in_memory(server) == ["three"], "a new one is loaded when it is asked for"
    assert server.predict("four", 1) == 4
    put(repository / "two/2/model.onnx", b"not a model")
    look(server)
    assert server.predict("two", 1) == 2, "a version that cannot be loaded takes nobody's place"
    put(repository / "two/2/model.onnx", times(22))
    look(server)
    assert server.predict("two", 1) == 22
    for name in ("four", "three"):
        (repository / name / "1/model.onnx").unlink()
        (repository / name / "1").rmdir()
        (repository / name).rmdir()
    look(server)
    assert [server.ask(infer(name, [1])).status for name in ("four", "three")] == [404, 404]
    assert server.predict("two", 1) == 22


@pytest.mark.parametrize(("share", "answer"), [(100, 2), (0, 3)])
def test_who_waits_for_a_canary_is_answered_by_it(manage: Manage, tmp_path: Path, share: int, answer: int) -> None:
    for version in (2, 3):
        put(tmp_path / f"m/{version}/model.onnx", times(version))
    server = manage(tmp_path, max_loaded_models=1, canary=(f"m=2:{share}%",))
    for version in (3, 2):
        path = f"/v2/models/m/versions/{version}/infer"
        assert values(server.ask(http("POST", path, infer_body([1])))) == [version]
        assert server.predict("m", 1) == answer


def test_one_that_was_unloaded_comes_back_by_hand_only(manage: Manage, repository: Path) -> None:
    server = manage(repository, max_loaded_models=1)
    assert server.unload("two").status == 200
    assert server.ask(infer("two", [1])).status == 404
    assert server.load("two").status == 200
    assert in_memory(server) == ["two"]
    assert [server.predict(name, 1) for name in ("three", "two")] == [3, 2]


@pytest.mark.parametrize("room", [1, 2])
def test_reloading_takes_no_more_than_there_is_room_for(start: Start, probe: Probe, room: int) -> None:
    server = start(2, room=room)
    assert [server.load(name).status for name in ("m1", "m2", "m2", "m1")] == [200] * 4
    probe.broken.add("m1")
    assert server.load("m1").status == 503
    if room == 2:
        assert server.predict("m1", 1) == 1, "the old one serves on where both have room"
    assert server.predict("m2", 1) == 2
    assert probe.peak == room


def test_nothing_keeps_a_model_that_went(start: Start) -> None:
    server = start(2)
    gc.collect()
    gc.disable()
    try:
        assert server.predict("m1", 1) == 1
        assert server.ask(infer("m1", ["x"])).status == 400
        model = weakref.ref(server.engine("m1").model)
        assert server.predict("m2", 1) == 2
        assert model() is None
    finally:
        gc.enable()


def test_a_server_that_stops_still_loads_what_was_asked_before(start: Start, probe: Probe) -> None:
    server = start(2)
    probe.hold("m2", "load")
    with server.connect() as wire:
        wire.send(infer("m2", [1]))
        probe.wait("m2", "load")
        server.on_loop(server.loader.close)
        server.stop()
        server.until(lambda: server.application.server.draining)
        probe.let("m2", "load")
        assert values(wire.answer()) == [2]
    server.join()


def test_a_load_that_hangs_does_not_keep_a_server_from_its_end(start: Start, probe: Probe) -> None:
    server = start(3, drain_timeout_s=0.1)
    probe.hold("m2", "load")
    with server.connect() as loading, server.connect() as waiting:
        loading.send(infer("m2", [1]))
        probe.wait("m2", "load")
        waiting.send(infer("m3", [1]))
        until_waiting(server, "m3", 1)
        server.on_loop(server.loader.close)
        server.stop()
        for wire in (loading, waiting):
            answer = wire.answer()
            assert (answer.status, answer.json["code"]) == (503, "not_ready")
    server.join()
    probe.let("m2", "load")
    assert probe.loads["m3"] == 0


def test_a_stream_of_a_model_that_is_away_waits(manage: Manage, probe: Probe, tmp_path: Path) -> None:
    words = [word(tmp_path, "m1", 1), word(tmp_path, "s", 1, "SeenStream")]
    server = manage(*words, max_loaded_models=1, executor="thread")
    with server.connect() as wire:
        assert [event["y"] for event in Events(wire.send(ask_stream("s", {"x": 3}))).all()] == [0, 1, 2]
        assert wire.send(ask_stream("m1", {"x": 3})).answer().status == 400
        assert wire.send(ask_stream("s", {"x": 1}, "generate")).answer().status == 200


def test_the_start_tells_of_what_it_looks_at(manage: Manage, repository: Path) -> None:
    put(repository / "two/1/model.toml", b"thread = 1")
    with pytest.raises(InferenceError, match="unknown setting 'thread'"):
        manage(repository, max_loaded_models=1)
    put(repository / "two/1/model.toml", b"threads = 1")
    put(repository / "three/1/model.onnx", b"not a model")
    with pytest.raises(InferenceError, match="not an ONNX file"):
        manage(repository, max_loaded_models=1)


def test_loads_are_told_in_the_access_log(manage: Manage, repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = manage(repository, max_loaded_models=1, access_log="json", access_log_file=str(log))
    asked = Later(lambda: server.ask(infer("two", [1])))
    assert values(asked.answer()) == [2]
    server.until(lambda: b"/v2/models/two/infer" in log.read_bytes(), pause_s=0.01)
