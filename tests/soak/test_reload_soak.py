"""Hundreds of reloads under load: every answer is of the right version, and memory has no slope."""

from __future__ import annotations

from pathlib import Path

import pytest
from program import Server
from reloading import Process, Reloading
from repositories import put, times

_CLIENTS = 16
_RELOADS = 500
_ANSWERS_PER_RELOAD = 200
_FIRST = 100
"""Until then the allocator has seen what there is to see."""
_MOST_GROWTH_BYTES = 8 * 2**20


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("flags", [(), ("--cache-size", 64), ("--executor", "thread", "--replicas", 2)])
def test_memory_has_no_slope(tmp_path: Path, flags: tuple[object, ...]) -> None:
    file = put(tmp_path / "repo/m/1/model.onnx", times(1))
    server = Server("repo", *flags, cwd=tmp_path)
    try:
        process, reloading = Process(server), Reloading(server, file, _CLIENTS)
        memory: list[int] = []
        with reloading.traffic():
            for number in range(_RELOADS):
                reloading.reload(_ANSWERS_PER_RELOAD)
                if number >= _FIRST:
                    memory.append(process.memory_bytes)
        process.settled()
        middle = len(memory) // 2
        assert max(memory[middle:]) - max(memory[:middle]) < _MOST_GROWTH_BYTES, memory[::25]
        assert process.metric("queue_rows") == 0
        server.stop()
        assert server.end() == 0
    finally:
        server.kill()
