"""The model repository extension: what there is, loading, replacing and unloading by name, while the server serves."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import weakref
from pathlib import Path
from typing import ClassVar

import orjson
import pytest
from repositories import Later, Manage, Managed, put, ready, slow, times
from served_models import Echo
from serving import Running
from wire import http, infer, infer_body, values

from foretell.backends.opened import Opened
from foretell.catalog import Served
from foretell.cli.loading import CommandLine
from foretell.config import ModelSettings
from foretell.engine.recorder import Recorder
from foretell.repository.plan import Planned


class TestIndex:
    def test_it_lists_what_serves_and_what_could(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        assert server.index() == [ready("three"), ready("two")]
        put(repository / "two/2/model.onnx", times(20))
        put(repository / "later/7/model.onnx", times(7))
        put(repository / "later/8/model.onnx", times(8))
        newer = {"name": "two", "version": "2", "state": "UNAVAILABLE", "reason": "not loaded"}
        assert server.index() == [{"name": "later"}, ready("three"), ready("two"), newer]
        assert server.index(b'{"ready": true}') == [ready("three"), ready("two")]

    def test_it_says_what_is_wrong_with_what_lies_there(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        put(repository / "two/model.toml", b"max_batch_size = 0")
        put(repository / "odd/v1/model.onnx", times(1))
        index = {(entry["name"], entry.get("version")): entry for entry in server.index()}
        assert index["two", "1"]["state"] == "READY"
        assert "max_batch_size" in index["two", "1"]["reason"]
        assert index["odd", "v1"]["state"] == "UNAVAILABLE"
        assert str(repository) not in str(index)

    @pytest.mark.parametrize("body", [b"[]", b"{", b'{"ready": 1}', b"[" * 200 + b"]" * 200, b"\xff"])
    def test_a_body_that_is_none_is_refused(self, manage: Manage, repository: Path, body: bytes) -> None:
        assert manage(repository).ask(http("POST", "/v2/repository/index", body)).status == 400


class TestLoad:
    def test_a_model_that_came_later_answers_once_loaded(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        put(repository / "five/1/model.onnx", times(5))
        assert server.ask(infer("five", [1])).status == 404
        answer = server.load("five")
        assert (answer.status, answer.json) == (200, {"name": "five", "ready": True})
        assert server.predict("five", 2) == 10
        assert server.index()[0] == ready("five")

    def test_a_model_that_serves_is_replaced(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        with server.connect() as wire:
            assert values(wire.send(infer("two", [3])).answer()) == [6]
            put(repository / "two/1/model.onnx", times(-2))
            assert values(wire.send(infer("two", [3])).answer()) == [6]
            assert server.load("two").status == 200
            assert values(wire.send(infer("two", [3])).answer()) == [-6]
        assert server.predict("three", 3) == 9

    def test_a_file_named_alone_is_read_from_its_path(self, manage: Manage, tmp_path: Path) -> None:
        file = put(tmp_path / "model.onnx", times(2))
        server = manage(file, f"named={file}")
        put(file, times(4))
        assert server.load("named").status == 200
        assert (server.predict("model", 1), server.predict("named", 1)) == (2, 4)

    def test_versions_come_and_go(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        put(repository / "two/2/model.onnx", times(20))
        assert server.load("two").status == 200
        assert server.predict("two", 1) == 20
        old = http("POST", "/v2/models/two/versions/1/infer", infer_body([1]))
        assert values(server.ask(old)) == [2]
        shutil.rmtree(repository / "two/1")
        assert server.load("two").status == 200
        assert server.ask(old).status == 404
        assert server.ask(http("GET", "/v2/models/two")).json["versions"] == ["2"]
        server.until(lambda: not list(server.loader.retirement))
        assert server.index() == [ready("three"), ready("two", "2")]

    def test_new_settings_beside_the_model_hold(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        put(repository / "two/model.toml", b"max_batch_size = 3")
        assert server.load("two").status == 200
        assert server.ask(http("GET", "/v2/models/two/config")).json["max_batch_size"] == 3

    @pytest.mark.parametrize("executor", ["inline", "thread"])
    def test_nothing_keeps_the_old_one(self, manage: Manage, repository: Path, executor: str) -> None:
        """Not even until the garbage collector comes, which a server lets rest."""
        server = manage(repository, executor=executor)
        gc.collect()
        gc.disable()
        try:
            with server.connect() as wire:
                assert values(wire.send(infer("two", [1])).answer()) == [2]
                old = weakref.ref(server.engine("two").model)
                assert server.load("two").status == 200
                assert values(wire.send(infer("two", [1])).answer()) == [2]
                server.until(lambda: old() is None)
        finally:
            gc.enable()

    def test_it_takes_over_with_all_its_replicas(self, manage: Manage, repository: Path) -> None:
        server = manage(repository, replicas=3)
        assert server.load("two").status == 200
        assert len(server.engine("two").pool.members) == 3
        assert server.predict("two", 1) == 2

    def test_answers_of_the_cache_are_of_the_version_that_serves(self, manage: Manage, repository: Path) -> None:
        server = manage(repository, cache_size=10)
        assert [server.predict("two", 1) for _ in range(2)] == [2, 2]
        assert server.engine("two").cached_rows == 1
        put(repository / "two/1/model.onnx", times(4))
        assert server.load("two").status == 200
        assert [server.predict("two", 1) for _ in range(2)] == [4, 4]

    def test_what_was_counted_is_counted_on(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        server.predict("two", 1)
        server.load("two")
        server.predict("two", 1)
        server.load("nobody")
        text = server.ask(http("GET", "/metrics")).body.decode()
        assert 'foretell_requests_total{model="two",version="1",outcome="ok"} 2' in text
        assert 'foretell_model_loads_total{outcome="reloaded"} 1' in text
        assert "foretell_model_load_duration_seconds_count 1" in text


class Sees(CommandLine):
    """Tells, for each load, the longest turn of Python code."""

    turns_s: ClassVar[list[float]] = []

    def load(self, planned: Planned, settings: ModelSettings, opened: Opened, recorder: Recorder | None) -> Served:
        self.turns_s.append(sys.getswitchinterval())
        return super().load(planned, settings, opened, recorder)


def test_loading_gives_way(manage: Manage, repository: Path) -> None:
    usual_s = sys.getswitchinterval()
    server = manage(repository)
    server.loader.intake._sources = Sees([str(repository)], {}, 1, server.said.append)
    Sees.turns_s.clear()
    assert server.load("two").status == 200
    (turn_s,) = Sees.turns_s
    assert turn_s <= usual_s / 5
    assert sys.getswitchinterval() == usual_s


class TestUnload:
    def test_it_is_gone_and_comes_back_when_asked_for(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        answer = server.unload("two")
        assert (answer.status, answer.json) == (200, {"name": "two", "ready": False})
        assert server.ask(infer("two", [1])).error.startswith("Request for unknown model: 'two'")
        unloaded = {"name": "two", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}
        assert server.index() == [ready("three"), unloaded]
        assert server.unload("two").status == 200
        assert server.load("two").status == 200
        assert server.predict("two", 1) == 2

    def test_every_version_goes(self, manage: Manage, repository: Path) -> None:
        put(repository / "two/2/model.onnx", times(20))
        server = manage(repository)
        assert server.unload("two").status == 200
        for path in ("two", "two/versions/1", "two/versions/2"):
            assert server.ask(http("GET", f"/v2/models/{path}/ready")).status == 404


class TestNames:
    @pytest.mark.parametrize("name", ["nobody", "..", "%2e%2e%2ftwo", "%ff", "x" * 500, "two%00", ".two", "%2fetc"])
    @pytest.mark.parametrize("call", ["load", "unload"])
    def test_an_unknown_one_is_looked_for_nowhere(self, manage: Manage, repository: Path, name: str, call: str) -> None:
        answer = manage(repository).ask(http("POST", f"/v2/repository/models/{name}/{call}"))
        assert answer.status == 404
        assert answer.error.startswith("Request for unknown model: ")

    def test_repositories_have_none(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        for path in ("/v2/repository/mine/index", "/v2/repository/mine/models/two/load"):
            assert "repositories have no names" in server.ask(http("POST", path)).error


class TestRequests:
    @pytest.mark.parametrize(
        ("call", "parameters", "said"),
        [
            ("load", {"config": "{}"}, "config cannot be sent"),
            ("load", {"file:1/model.onnx": "AAAA"}, "file cannot be sent"),
            ("load", {"else": 1}, "unknown parameter 'else'"),
            ("unload", {"unload_dependents": 1}, "expected true or false"),
            ("unload", {"else": True}, "unknown parameter 'else'; expected unload_dependents"),
        ],
    )
    def test_parameters_that_would_do_nothing_are_refused(
        self, manage: Manage, repository: Path, call: str, parameters: dict[str, object], said: str
    ) -> None:
        server = manage(repository)
        body = orjson.dumps({"parameters": parameters})
        answer = server.ask(http("POST", f"/v2/repository/models/two/{call}", body))
        assert answer.status == 400
        assert said in answer.error
        assert server.predict("two", 1) == 2

    def test_wrong_methods(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        for path in ("/v2/repository/index", "/v2/repository/models/two/load", "/v2/repository/models/two/unload"):
            answer = server.ask(http("GET", path))
            assert (answer.status, answer.header("allow")) == (405, "OPTIONS, POST")

    def test_they_need_the_scope_manage(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        for path in (b"/v2/repository/index", b"/v2/repository/models/two/load"):
            assert server.on_loop(lambda path=path: server.application._find(path)).scope == "manage"  # type: ignore[misc]

    def test_other_machines_manage_nothing_without_a_token(self, manage: Manage, repository: Path) -> None:
        server = manage(repository, host="0.0.0.0")
        for path in ("index", "models/two/load", "models/two/unload"):
            answer = server.ask(http("POST", f"/v2/repository/{path}"))
            assert answer.status == 401, answer
        assert server.predict("two", 1) == 2

    def test_the_server_says_whether_it_has_them(self, manage: Manage, serve: object, repository: Path) -> None:
        assert "model_repository" in manage(repository).ask(http("GET", "/v2")).json["extensions"]
        fixed: Running = serve(echo=Echo())  # type: ignore[operator]
        assert "model_repository" not in fixed.ask(http("GET", "/v2")).json["extensions"]
        assert fixed.ask(http("POST", "/v2/repository/index")).status == 404


@pytest.fixture
def waits(manage: Manage, tmp_path: Path) -> tuple[Managed, Path]:
    """A server of `Slow` and `two`, and the pipe that every further load of `Slow` waits for."""
    put(tmp_path / "two.onnx", times(2))
    file = put(tmp_path / "models.py", slow(2))
    server = manage(f"{file}:Slow", tmp_path / "two.onnx")
    os.mkfifo(tmp_path / "pipe")
    put(file, slow(3))
    return server, tmp_path / "pipe"


class TestMeanwhile:
    def test_what_serves_serves_on(self, waits: tuple[Managed, Path]) -> None:
        server, pipe = waits
        call = Later(lambda: server.load("Slow"))
        with pipe.open("wb"):
            assert server.predict("Slow", 1) == 2
            assert server.predict("two", 1) == 2
            assert server.index() == [ready("Slow"), ready("two")]
            assert server.ask(http("GET", "/v2/health/ready")).status == 200
        assert call.answer().status == 200
        assert server.predict("Slow", 1) == 3

    def test_a_model_that_is_loaded_first_asks_for_patience(self, waits: tuple[Managed, Path]) -> None:
        server, pipe = waits
        assert server.unload("Slow").status == 200
        call = Later(lambda: server.load("Slow"))
        with pipe.open("wb"):
            assert server.index()[0]["state"] == "LOADING"
            answer = server.ask(infer("Slow", [1]))
            assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert call.answer().status == 200
        assert server.predict("Slow", 1) == 3

    def test_calls_that_wait_have_a_limit(self, waits: tuple[Managed, Path]) -> None:
        server, pipe = waits
        calls = [Later(lambda: server.load("Slow")) for _ in range(16)]
        server.until(lambda: server.loader._waiting == 16)
        answer = server.load("two")
        assert (answer.status, answer.header("retry-after")) == (429, "1")
        server.on_loop(server.loader.close)
        assert {call.answer().status for call in calls} == {503}
        pipe.open("wb").close()

    def test_the_end_does_not_wait_for_a_load(self, waits: tuple[Managed, Path]) -> None:
        server, pipe = waits
        call = Later(lambda: server.load("Slow"))
        with pipe.open("wb"):
            server.on_loop(server.loader.close)
            assert call.answer().status == 503
            assert server.load("two").status == 503
            assert server.predict("Slow", 1) == 2
