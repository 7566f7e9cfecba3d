"""A real server with room for few of its models: told at the start, kept to by each worker, and ended in the middle of
loads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from program import Server
from repositories import put, slow, times
from wire import Wire, http, infer, values

Serve = Callable[..., Server]


def in_memory(wire: Wire) -> float:
    text = wire.send(http("GET", "/metrics")).answer().body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if "foretell_model_in_memory{" in line)


def test_each_worker_has_its_room(serve: Serve, folder: Path) -> None:
    for n in range(1, 5):
        put(folder / f"repo/m{n}/1/model.onnx", times(n))
    server = serve("repo", "--max-loaded-models", 2, "--workers", 2)
    assert "2 more models, loaded when asked for" in " ".join(server.said)
    with Wire(server.port) as one, Wire(server.port) as other:
        for n in (1, 3, 4, 2):
            for wire in (one, other):
                assert values(wire.send(infer(f"m{n}", [1])).answer()) == [n]
        assert in_memory(one) == 4
    server.stop()
    assert server.end() == 0


def test_sigterm_in_the_middle_of_a_load_answers_who_waits_for_it(serve: Serve, folder: Path) -> None:
    put(folder / "m.onnx", times(2))
    put(folder / "slow.py", slow(3))
    server = serve("m.onnx", "slow.py:Slow", "--max-loaded-models", 1, "--executor", "thread")
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with Wire(server.port) as wire, Wire(server.port) as late:
        wire.send(infer("Slow", [1]))
        with pipe.open("wb") as other_end:  # it is read now: the load is under way
            late.send(infer("m", [1]))
            server.stop()
            server.wait_for("stopping: ")
            other_end.write(b"go")
        assert values(wire.answer()) == [3]
        assert values(late.answer()) == [2]
    assert server.end() == 0
