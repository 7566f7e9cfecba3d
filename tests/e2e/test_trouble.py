"""Cancels, raises, time-outs, slow clients, tiny chunks and dying replicas at once; then everything is as before."""

from __future__ import annotations

from pathlib import Path

from reloading import Process
from trouble import Trouble, shaky_server, wait_for_replicas
from wire import Wire, infer, values

_ROUNDS = 40
_KILLS = 2


def test_after_all_kinds_of_trouble_everything_works_and_nothing_is_left(tmp_path: Path) -> None:
    server = shaky_server(tmp_path)
    try:
        process = Process(server)
        Trouble(server, 5, 0, seed=1).run()
        threads, files = process.settled()
        trouble = Trouble(server, _ROUNDS, _KILLS, seed=2)
        trouble.run()
        wait_for_replicas(server)
        assert process.metric("queue_rows") == 0
        after = process.settled()
        assert after[0] <= threads + 2, "threads"
        assert after[1] <= files, "descriptors"
        assert trouble.ends["good 200"] > _ROUNDS
        with Wire(server.port) as wire:
            for value in range(10, 40):
                assert values(wire.send(infer("shaky", [value])).answer()) == [2 * value]
        server.stop()
        assert server.end() == 0
    finally:
        server.kill()
