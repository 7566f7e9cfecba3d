"""What a server says of itself, in both forms, and what it says about requests."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import uvloop
from repositories import managing, put, times
from wire import http

import foretell
from foretell.cli.telling import Teller
from foretell.errors import InvalidModel, InvalidSetting
from foretell.observe.loads import Outcome


@pytest.fixture
def hooks() -> Iterator[None]:
    """What `take_over` changes in this process, as it was."""
    before = sys.excepthook, threading.excepthook, warnings.showwarning, list(logging.getLogger().handlers)
    yield
    sys.excepthook, threading.excepthook, warnings.showwarning, handlers = before
    logging.getLogger().handlers[:] = handlers


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_lines_for_people_are_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Teller()("a line", event="thing", level="error", model="m")
    Teller("text", 3)("a line", event="thing", model="m")
    Teller().note("a note")
    Teller().start(["warning: open", "serving"])
    assert capsys.readouterr().err.splitlines() == [
        "a line", "worker 3: a line", "foretell: note: a note", "warning: open", "serving",
    ]  # fmt: skip


def test_objects_have_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    tell = Teller("json", 3)
    tell("a\nline", event="thing", level="warning", model="m", seconds=1.5, where=Path("x"))
    tell.start(["warning: open", "serving"])
    tell.note("a note")
    first, warns, serving, note = said(capsys)
    assert {key: first[key] for key in first if key != "time"} == {
        "level": "warning", "event": "thing", "message": "a\nline", "worker": 3, "model": "m", "seconds": 1.5,
        "where": "x",
    }  # fmt: skip
    assert [(each["level"], each["event"], each["message"]) for each in (warns, serving, note)] == [
        ("warning", "start", "open"), ("info", "start", "serving"), ("info", "note", "a note"),
    ]  # fmt: skip


@pytest.mark.usefixtures("hooks")
def test_what_others_say_in_this_process_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    Teller("json").take_over()
    warnings.showwarning("careful", UserWarning, "x.py", 1)
    try:
        raise ValueError("no")
    except ValueError as error:
        logging.getLogger("asyncio").error("it failed", exc_info=True)
        sys.excepthook(ValueError, error, error.__traceback__)
    thread = threading.Thread(target=lambda: 1 // 0)
    thread.start()
    thread.join()
    warned, logged, uncaught, in_thread = said(capsys)
    assert (warned["event"], warned["level"], warned["message"]) == ("warning", "warning", "careful")
    assert (logged["event"], logged["level"], logged["logger"]) == ("log", "error", "asyncio")
    assert "ValueError: no" in logged["exception"]
    assert (uncaught["event"], uncaught["message"]) == ("uncaught", "ValueError: no")
    assert "ZeroDivisionError" in in_thread["exception"]


def test_a_failure_has_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert Teller("json").failed(InvalidModel("no\nmodel")) == 1
    assert Teller("json").failed(InvalidSetting("no setting")) == 2
    first, second = said(capsys)
    assert (first["code"], first["message"], second["code"]) == ("invalid_model", "no model", "invalid_setting")


def test_a_mistake_names_the_request_and_its_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with managing(uvloop.new_event_loop) as start:
        server = start(put(tmp_path / "m.onnx", times(2)))
        loop = server._loop
        assert loop is not None
        server.on_loop(lambda: Teller("json").watch(asyncio.get_running_loop()))
        server.on_loop(lambda: setattr(server.application, "_overview", None))  # a mistake of ours
        headers = {"X-Request-Id": "mine", "Traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        answer = server.ask(http("GET", "/", headers=headers))
        assert (answer.status, answer.json) == (500, {"error": "internal error", "code": "internal"})
    (entry,) = said(capsys)
    assert (entry["event"], entry["level"]) == ("mistake", "error")
    assert (entry["request_id"], entry["trace_id"]) == ("mine", trace)
    assert "TypeError" in entry["exception"]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk here that is always full")
def test_a_full_disk_stops_nobody_who_tells(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = Teller(form)
    with pytest.raises(OSError, match="No space"):
        Path("/dev/full").write_text("a line")
    full = io.TextIOWrapper(io.BufferedWriter(io.FileIO("/dev/full", "w"), 64), line_buffering=True)
    for stream in (full, None):
        monkeypatch.setattr(sys, "stderr", stream)
        for number in range(2000):
            tell("a line", number=number)
    monkeypatch.undo()
    with contextlib.suppress(OSError):
        full.close()


def test_the_guide_has_every_event() -> None:
    source = Path(foretell.__file__).parent
    files = [path for path in source.rglob("*.py") if "events" not in path.parts]  # a stream has lines for people only
    found = {name for path in files for name in re.findall(r'event="(\w+)"', path.read_text("utf-8"))}
    found |= {f"model_{outcome}" for outcome in get_args(Outcome)}
    guide = (Path(__file__).parents[2] / "docs/guides/observability.md").read_text("utf-8")
    told = guide.partition("Events: ")[2].partition(". A command line")[0]
    assert found - {"message"} == set(re.findall(r"`(\w+)`", told))
