"""What lies on disk changes: what is taken, when, and what is left alone."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from repositories import Manage, Managed, put, times
from wire import http, infer

from foretell.errors import InvalidModel
from foretell.repository.folder import Problem
from foretell.repository.plan import Look, Planned
from foretell.repository.watching import Watcher, changes, missing


class Watched:
    """A server with one model, `m` in version 1 (x * 2), and who watches its folder."""

    def __init__(self, manage: Manage, folder: Path, **options: object) -> None:
        self.file = put(folder / "m/1/model.onnx", times(2))
        self.server: Managed = manage(folder, **options)
        self.watcher = Watcher(self.server.loader, None)

    def look(self, *, patient: bool = True) -> None:
        self.server.wait(lambda: self.watcher.look(patient=patient))

    def answers(self, name: str = "m") -> float | None:
        answer = self.server.ask(infer(name, [1]))
        return answer.json["outputs"][0]["data"][0] if answer.status == 200 else None

    @property
    def loaded(self) -> dict[str, int]:
        return {outcome: count for outcome, count in self.server.loader.intake.loads.outcomes.items() if count}


@pytest.fixture
def watched(manage: Manage, tmp_path: Path) -> Watched:
    return Watched(manage, tmp_path)


def test_a_file_that_changed_is_taken_at_the_second_look(watched: Watched) -> None:
    watched.look()
    put(watched.file, times(3))
    watched.look()
    assert watched.answers() == 2
    watched.look()
    assert watched.answers() == 3
    watched.look()
    assert watched.loaded == {"reloaded": 1}


def test_a_file_that_is_being_written_is_left_alone(watched: Watched) -> None:
    whole = times(3)
    with watched.file.open("wb") as file:
        for byte in range(0, len(whole), 16):
            file.write(whole[byte : byte + 16])
            file.flush()
            watched.look()
    watched.look()
    assert watched.loaded == {"reloaded": 1}
    assert watched.answers() == 3


def test_half_a_file_is_never_taken_and_the_whole_one_then_is(watched: Watched) -> None:
    whole = times(3)
    watched.file.write_bytes(whole[:-5])
    for _ in range(4):
        watched.look()
    assert watched.loaded == {"failed": 1}
    assert watched.answers() == 2
    (entry,) = watched.server.index()
    assert entry["state"] == "READY"
    assert "truncated" in entry["reason"]
    watched.file.write_bytes(whole)
    watched.look()
    watched.look()
    assert watched.answers() == 3
    assert watched.server.index() == [{"name": "m", "version": "1", "state": "READY"}]


def test_settings_that_are_wrong_are_said_once_and_to_who_asks(watched: Watched) -> None:
    def told() -> int:
        return sum("max_batch_size" in line for line in watched.server.said)

    beside = watched.file.parent / "model.toml"
    beside.write_text("max_batch_size = 'x'")
    watched.look()
    assert told() == 0, "somebody may be writing it"
    for _ in range(3):
        watched.look()
    assert told() == 1
    watched.look(patient=False)
    assert told() == 2
    assert watched.answers() == 2
    beside.write_text("max_batch_size = 'y'")
    watched.look()
    watched.look()
    assert told() == 3
    beside.write_text("max_batch_size = 7")
    watched.look()
    watched.look()
    assert watched.server.engine("m").settings.max_batch_size == 7
    beside.write_text("max_batch_size = 'x'")
    watched.look()
    watched.look()
    assert told() == 4


def test_a_file_that_was_only_touched_is_not_loaded(watched: Watched) -> None:
    engine = watched.server.engine("m")
    os.utime(watched.file, ns=(1, 1))
    for _ in range(3):
        watched.look()
    assert watched.loaded == {"unchanged": 1}
    assert watched.server.engine("m") is engine


def test_settings_beside_a_model_are_taken(watched: Watched) -> None:
    put(watched.file.parent / "model.toml", b"max_batch_size = 3")
    watched.look()
    watched.look()
    assert watched.server.ask(http("GET", "/v2/models/m/config")).json["max_batch_size"] == 3
    put(watched.file.parent.parent / "model.toml", b"retries = 7")
    watched.look()
    watched.look()
    assert watched.server.engine("m").settings.retries == 7


def test_settings_that_cannot_be_leave_what_serves(watched: Watched) -> None:
    put(watched.file.parent / "model.toml", b"max_batch_size = 0")
    for _ in range(3):
        watched.look()
    assert watched.answers() == 2
    assert "max_batch_size" in watched.server.index()[0]["reason"]


def test_models_and_versions_come_and_go(watched: Watched, tmp_path: Path) -> None:
    put(tmp_path / "m/2/model.onnx", times(20))
    put(tmp_path / "new/1/model.onnx", times(5))
    watched.look()
    assert (watched.answers(), watched.answers("new")) == (2, None)
    watched.look()
    assert (watched.answers(), watched.answers("new")) == (20, 5)
    shutil.rmtree(tmp_path / "m/2")
    shutil.rmtree(tmp_path / "new")
    watched.look()
    assert (watched.answers(), watched.answers("new")) == (20, 5)
    watched.look()
    assert (watched.answers(), watched.answers("new")) == (2, None)


def test_what_cannot_be_looked_at_serves_on(watched: Watched, tmp_path: Path) -> None:
    """A folder that is gone for the moment, as a mount can be, takes no model with it."""
    (tmp_path / "m").rename(tmp_path / ".m")
    put(tmp_path / "m/1/readme.txt", b"no model here")
    for _ in range(3):
        watched.look()
    assert watched.answers() == 2
    shutil.rmtree(tmp_path / "m")
    (tmp_path / ".m").rename(tmp_path.parent / "aside")
    for _ in range(3):
        watched.look()
    assert watched.answers() == 2


def test_a_model_that_was_unloaded_stays_so(watched: Watched) -> None:
    assert watched.server.unload("m").status == 200
    put(watched.file, times(3))
    watched.look()
    watched.look()
    assert watched.answers() is None
    assert watched.server.load("m").status == 200
    assert watched.answers() == 3


def test_who_asks_need_not_wait_for_a_second_look(watched: Watched) -> None:
    put(watched.file, times(3))
    watched.look(patient=False)
    assert watched.answers() == 3


def test_a_file_named_alone_that_is_gone_serves_on(manage: Manage, tmp_path: Path) -> None:
    file = put(tmp_path / "single.onnx", times(2))
    server = manage(file)
    watcher = Watcher(server.loader, None)
    file.unlink()
    for _ in range(2):
        server.wait(lambda: watcher.look(patient=False))
    assert server.predict("single", 1) == 2
    assert "there is no such file" in server.index()[0]["reason"]


def test_it_watches_by_itself_until_it_is_closed(manage: Manage, tmp_path: Path) -> None:
    file = put(tmp_path / "single.onnx", times(2))
    server = manage(file)
    watcher = Watcher(server.loader, 0.001)
    old = server.engine("single")

    async def watch() -> None:
        watching = asyncio.create_task(watcher.run())
        while server.engine("single") is old:
            await asyncio.sleep(0)
        watcher.close()
        await watching

    put(file, times(3))
    server.wait(watch)
    assert server.predict("single", 1) == 3


def planned(name: str, *stamp: tuple[str, int, int]) -> Planned:
    return Planned(name, "1", "", (), scanned=True, stamp=stamp)


def test_what_has_changed() -> None:
    same, other, new = planned("same", ("a", 1, 1)), planned("other", ("b", 2, 3)), planned("new", ("c", 1, 1))
    look = Look({(one.name or "", "1"): one for one in (same, other, new)})
    stamps = {("same", "1"): same.stamp, ("other", "1"): (("b", 2, 2),), ("gone", "1"): ()}
    assert changes(look, stamps) == {("other", "1"): other, ("new", "1"): new}


@pytest.mark.parametrize(
    ("problem", "gone"),
    [(None, True), (("", ""), False), (("m", ""), False), (("m", "1"), False), (("m", "2"), True), (("n", ""), True)],
)
def test_what_is_missing(problem: tuple[str, str] | None, gone: bool) -> None:
    problems = () if problem is None else (Problem(*problem, InvalidModel("broken")),)
    assert missing(Look({}, problems), {("m", "1")}) == ([("m", "1")] if gone else [])
