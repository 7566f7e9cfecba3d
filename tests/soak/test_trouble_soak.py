"""Minutes of cancels, raises, time-outs, slow clients, tiny chunks, streams, dying replicas; then all is as before."""

from __future__ import annotations

from pathlib import Path

import pytest
from reloading import Process
from trouble import Trouble, assert_idle, shaky_server, wait_for_replicas

_ROUNDS = 800
_KILLS = 6
_MOST_GROWTH_BYTES = 24 * 2**20


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_trouble_leaves_nothing_behind(tmp_path: Path) -> None:
    server = shaky_server(tmp_path)
    try:
        process = Process(server)
        Trouble(server, _ROUNDS // 4, 0, seed=1).run()
        (threads, files), memory = process.settled(), process.memory_bytes
        trouble = Trouble(server, _ROUNDS, _KILLS, seed=2)
        trouble.run()
        wait_for_replicas(server)
        assert_idle(process)
        after = process.settled()
        assert after[0] <= threads + 2
        assert after[1] <= files
        assert process.memory_bytes - memory < _MOST_GROWTH_BYTES
        assert trouble.ends["good 200"] > _ROUNDS
        assert trouble.ends["listening 200"] > _ROUNDS
        server.stop()
        assert server.end() == 0
    finally:
        server.kill()
