"""Cancels, raises, time-outs, slow clients, tiny chunks, streams and dying replicas at once; then all is as before."""

from __future__ import annotations

from pathlib import Path

from reloading import Process
from stream_client import Events, ask_stream, outputs
from trouble import Trouble, assert_idle, shaky_server, wait_for_replicas
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
        assert_idle(process)
        after = process.settled()
        assert after[0] <= threads + 2, "threads"
        assert after[1] <= files, "descriptors"
        assert trouble.ends["good 200"] > _ROUNDS
        assert trouble.ends["listening 200"] > _ROUNDS
        with Wire(server.port) as wire:
            for value in range(10, 40):
                assert values(wire.send(infer("shaky", [value])).answer()) == [2 * value]
            assert outputs(Events(wire.send(ask_stream("talks", {"count": 30}))).all(), "output") == list(range(30))
        server.stop()
        assert server.end() == 0
    finally:
        server.kill()
