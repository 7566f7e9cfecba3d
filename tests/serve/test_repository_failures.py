"""Loads that fail through the model repository extension: what served serves on, and the reason is told."""

from __future__ import annotations

import os
from pathlib import Path

from repositories import Later, Manage, put, ready, slow, times
from wire import http, infer_body, values

from foretell.backends.opened import Opened
from foretell.catalog import Served
from foretell.cli.loading import CommandLine
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.engine.recorder import Recorder
from foretell.errors import InvalidModel
from foretell.model import Model
from foretell.repository.plan import Planned


class OnlyOne(CommandLine):
    """Models that cannot be opened a second time."""

    def load(self, planned: Planned, settings: ModelSettings, opened: Opened, recorder: Recorder | None) -> Served:
        def again() -> Model:
            raise InvalidModel("it is not to be had twice")

        engine = Engine(opened.model, settings, name=planned.name or "", recorder=recorder, again=again).load()
        return Served(engine.name, planned.version, engine, opened)


class TestFailedLoad:
    def test_the_old_version_serves_on_and_the_reason_is_told(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        put(repository / "two/1/model.onnx", times(2)[:-7])
        answer = server.load("two")
        assert answer.status == 400
        assert answer.error.startswith("failed to load 'two', version 1: ")
        assert str(repository) not in answer.error
        assert server.predict("two", 3) == 6
        entry = next(entry for entry in server.index() if entry["name"] == "two")
        assert entry["state"] == "READY"
        assert entry["reason"] in answer.error
        assert any(str(repository) in line for line in server.said)

    def test_it_is_forgotten_with_the_next_that_succeeds(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        put(repository / "two/1/model.onnx", b"")
        assert server.load("two").status == 400
        put(repository / "two/1/model.onnx", times(8))
        assert server.load("two").status == 200
        assert server.predict("two", 1) == 8
        assert server.index() == [ready("three"), ready("two")]

    def test_it_is_forgotten_with_a_version_that_is_gone(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        bad = put(repository / "two/2/model.onnx", b"junk")
        assert server.load("two").status == 400
        bad.unlink()
        bad.parent.rmdir()
        assert server.load("two").status == 200
        assert server.index() == [ready("three"), ready("two")]

    def test_a_good_version_gets_in_beside_a_bad_one(self, manage: Manage, repository: Path) -> None:
        server = manage(repository)
        put(repository / "two/1/model.onnx", b"junk")
        put(repository / "two/2/model.onnx", times(20))
        assert "version 1" in server.load("two").error
        assert server.predict("two", 1) == 20
        assert values(server.ask(http("POST", "/v2/models/two/versions/1/infer", infer_body([1])))) == [2]

    def test_a_file_that_changes_while_it_is_loaded_is_not_taken(self, manage: Manage, tmp_path: Path) -> None:
        file = put(tmp_path / "models.py", slow(2))
        server = manage(f"{file}:Slow")
        os.mkfifo(tmp_path / "pipe")
        put(file, slow(3))
        call = Later(lambda: server.load("Slow"))
        with (tmp_path / "pipe").open("wb"):  # opens when it is being loaded
            put(file, slow(4) + b"#")
        assert "changed while it was loaded" in call.answer().error
        assert server.predict("Slow", 1) == 2
        (tmp_path / "pipe").unlink()
        assert server.load("Slow").status == 200
        assert server.predict("Slow", 1) == 4

    def test_a_replica_that_cannot_be_opened_leaves_what_serves(self, manage: Manage, repository: Path) -> None:
        server = manage(repository, replicas=2)
        server.loader.intake._sources = OnlyOne([str(repository)], {"replicas": 2}, 1, server.said.append)
        put(repository / "two/1/model.onnx", times(4))
        answer = server.load("two")
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert "a replica could not be opened: it is not to be had twice" in answer.error
        assert server.predict("two", 1) == 2

    def test_a_load_that_takes_too_long_is_given_up(self, manage: Manage, tmp_path: Path) -> None:
        file = put(tmp_path / "models.py", slow(2))
        server = manage(f"{file}:Slow", load_timeout_s=0.05)
        os.mkfifo(tmp_path / "pipe")
        put(file, slow(3))
        answer = server.load("Slow")
        assert answer.status == 504
        assert "it took longer than 0.05 s" in answer.error
        assert server.predict("Slow", 1) == 2
        again = server.load("Slow")
        assert (again.status, again.header("retry-after")) == (503, "1")
        assert "an earlier load of it has not ended" in again.error
        (tmp_path / "pipe").open("wb").close()
