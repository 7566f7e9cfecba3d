"""What a server says of itself, as JSON: every line of standard error, whatever happens to it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from program import WAIT_S, Server, command, environment, run
from repositories import put, times
from token_files import add
from wire import Wire, http, infer, values

Serve = Callable[..., Server]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def entries(lines: list[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines]
    for entry in found:
        assert TIME.fullmatch(entry["time"])
        assert entry["level"] in ("info", "warning", "error")
        assert entry["event"] and entry["message"] and "\n" not in entry["message"]
        assert list(entry)[:4] == ["time", "level", "event", "message"]
    return found


def test_every_line_is_an_object(serve: Serve, folder: Path) -> None:
    put(folder / "models/m/1/model.onnx", times(2))
    tokens = folder / "tokens.toml"
    headers = {"Authorization": f"Bearer {add(tokens, 'all', 'infer', 'manage')}"}
    server = serve("models", "--log-format", "json", "--tokens-file", tokens, "--watch")
    with Wire(server.port) as wire:
        for number, content in ((2, times(3)), (3, b"no model")):
            put(folder / f"models/m/{number}/model.onnx", content)
            wire.send(http("POST", "/v2/repository/models/m/load", headers=headers)).answer()
        assert values(wire.send(infer("m", [1], headers)).answer()) == [3]
    tokens.chmod(0o600)
    tokens.write_text("nonsense")
    server.stop(signal.SIGHUP)
    server.wait_for("reload_failed")
    server.stop()
    assert server.end() == 0
    found = entries(server.said)
    by_event = {entry["event"]: entry for entry in found}
    assert {"start", "model_loaded", "model_failed", "reload_failed", "stopping"} <= by_event.keys()
    loaded, failed = by_event["model_loaded"], by_event["model_failed"]
    assert (loaded["level"], loaded["model"], loaded["version"]) == ("info", "m", "2")
    assert loaded["duration_s"] >= 0
    assert (failed["level"], failed["model"], failed["version"]) == ("error", "m", "3")
    assert any("serving on" in entry["message"] for entry in found)


def test_a_server_that_cannot_start_says_so_as_json(folder: Path) -> None:
    for arguments, code in ((("nothing.onnx",), 1), (("iris.onnx", "--tokens-file", "none.toml"), 2)):
        for more in ((), ("--workers", "2")):
            done = run("serve", *arguments, *more, "--log-format", "json", "--http-port", 0, cwd=folder)
            assert done.returncode == code, done.stderr
            (entry,) = entries(done.stderr.splitlines())
            assert (entry["event"], entry["level"]) == ("failed", "error")
            assert arguments[-1] in entry["message"]


def test_several_processes_say_which_they_are(serve: Serve) -> None:
    server = serve("iris.onnx", "--workers", 2, "--log-format", "json")
    first = next(child for child in server.children if "foretell.cli.worker" in " ".join(child.cmdline()))
    first.kill()
    ended = json.loads(server.wait_for("worker_ended"))
    assert (ended["level"], ended["worker"] in (0, 1)) == ("warning", True)
    server.stop(signal.SIGHUP)
    server.stop()
    server.process.wait(WAIT_S)
    server._reader.join(WAIT_S)
    assert {entry["event"] for entry in entries(server.said)} >= {"start", "worker_ended", "stopping"}


PID_PY = b"""
import os


def pid(x: list[float]) -> list[float]:
    return [float(os.getpid())] * len(x)
"""


def test_a_replica_that_is_lost_is_told_with_its_model(serve: Serve, folder: Path) -> None:
    put(folder / "pid.py", PID_PY)
    server = serve("pid.py:pid", "--executor", "process", "--log-format", "json")
    with Wire(server.port) as wire:
        (pid,) = values(wire.send(infer("pid", [1], datatype="FP64", shape=[1])).answer(), "output")
    os.kill(int(pid), signal.SIGKILL)
    lost = json.loads(server.wait_for("replica_lost"))
    assert (lost["level"], lost["model"], lost["version"]) == ("warning", "pid", "1")
    assert lost["message"].startswith("pid version 1: a replica was lost")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk here that is always full")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_full_disk_for_every_log_stops_nothing(folder: Path, form: str) -> None:
    """The lines of the server and those of its requests are lost; the server starts, answers, and ends in order."""
    put(folder / "models/m/1/model.onnx", times(2))
    place = folder / "s"
    logs = ("--log-format", form, "--access-log", "json", "--access-log-file", "/dev/full")
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            command("serve", "models", *logs, "--unix-socket", place), cwd=folder, env=environment(),
            stdin=subprocess.DEVNULL, stdout=full, stderr=full,
        )  # fmt: skip
    try:
        wire = None
        while wire is None:
            with contextlib.suppress(OSError):
                wire = Wire(0, path=str(place))
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended with {process.wait(0.05)}")
        with wire:
            for number in range(20):
                assert values(wire.send(infer("m", [number])).answer()) == [2 * number]
                assert wire.send(http("POST", "/v2/repository/models/m/load")).answer().status == 200
            put(folder / "models/m/2/model.onnx", b"no model")
            assert wire.send(http("POST", "/v2/repository/models/m/load")).answer().status == 400
            os.kill(process.pid, signal.SIGHUP)
            assert values(wire.send(infer("m", [1])).answer()) == [2]
            text = wire.send(http("GET", "/metrics")).answer().body.decode()
        assert re.search(r"^foretell_access_log_lines_total 0\.0$", text, re.MULTILINE)
        process.terminate()
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait()
