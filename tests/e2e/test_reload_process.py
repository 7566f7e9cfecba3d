"""Models are replaced in a `foretell serve` that runs: by signal, by watching, and by call, without a lost request."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from program import Server
from repositories import put, slow, times
from wire import Wire, http, infer, values

Serve = Callable[..., Server]


def answer(server: Server, model: str = "m") -> float:
    with Wire(server.port) as wire:
        (value,) = values(wire.send(infer(model, [1])).answer())
        assert isinstance(value, float)
        return value


@pytest.fixture
def file(folder: Path) -> Path:
    return put(folder / "repo/m/1/model.onnx", times(2))


def test_sighup_takes_what_has_changed(serve: Serve, file: Path, folder: Path) -> None:
    put(folder / "same.onnx", times(7))
    server = serve("repo", "same.onnx")
    assert answer(server) == 2
    put(file, times(3))
    put(folder / "repo/new/1/model.onnx", times(5))
    server.stop(signal.SIGHUP)
    server.wait_for("m version 1 reloaded in ")
    server.wait_for("new version 1 loaded in ")
    assert (answer(server), answer(server, "new"), answer(server, "same")) == (3, 5, 7)
    assert not any("same version 1 reloaded" in line for line in server.said)
    server.stop()
    assert server.end() == 0


def test_a_watched_file_is_taken(serve: Serve, file: Path) -> None:
    server = serve("repo", "--watch", "--watch-interval-s", 0.01)
    put(file, times(3))
    server.wait_for("m version 1 reloaded in ")
    assert answer(server) == 3
    file.write_bytes(times(4)[:-3])
    server.wait_for("m version 1 could not be loaded: ")
    assert answer(server) == 3
    server.stop()
    assert server.end() == 0


def test_without_watching_a_file_is_left_until_somebody_asks(serve: Serve, file: Path) -> None:
    server = serve("repo")
    put(file, times(3))
    with Wire(server.port) as wire:
        assert values(wire.send(infer("m", [1])).answer()) == [2]
        assert wire.send(http("POST", "/v2/repository/models/m/load")).answer().status == 200
        assert values(wire.send(infer("m", [1])).answer()) == [3]
    server.stop()
    assert server.end() == 0


def test_the_end_comes_also_while_a_model_is_loaded(serve: Serve, folder: Path) -> None:

    file = put(folder / "slow.py", slow(2))
    server = serve("slow.py:Slow")
    os.mkfifo(folder / "pipe")
    put(file, slow(3))
    with Wire(server.port) as wire:
        wire.send(http("POST", "/v2/repository/models/Slow/load"))
        with (folder / "pipe").open("wb"):  # opens when it is being loaded
            server.stop()
            assert wire.answer().status == 503
        assert server.end() == 0


def test_a_module_that_was_changed_needs_a_new_start(serve: Serve, folder: Path) -> None:
    """Python imports a module once: its old code must not answer as if it were the new."""
    server = serve("models:Double", "named=models.py:Double")
    text = (folder / "models.py").read_text()
    double = {"shape": [1, 2], "datatype": "FP64"}
    load = "/v2/repository/models/{}/load"
    with Wire(server.port) as wire:
        assert wire.send(http("POST", load.format("Double"))).answer().status == 200
        (folder / "models.py").write_text(text.replace("return x * 2", "return x * 5"))
        refused = wire.send(http("POST", load.format("Double"))).answer()
        assert "imported once only" in refused.error
        assert wire.send(http("POST", load.format("named"))).answer().status == 200
        for model, factor in (("Double", 2), ("named", 5)):
            answered = wire.send(infer(model, [1, 2], **double)).answer()
            assert values(answered, "output") == [factor, 2 * factor]
    server.stop()
    assert server.end() == 0
