"""What is set for the server is what all of its workers let in together, and `foretell config` says what each does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from looking import get, until
from program import Server, run
from token_files import add, bearer
from wire import Wire, http, infer_body, values

Serve = Callable[..., Server]

MODELS = '''
import os
import time
from pathlib import Path

import numpy as np


class Who:
    """Which process answers, once there is a file "go"."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        while not Path("go").exists():
            time.sleep(0.001)
        return x * 0 + os.getpid()
'''
WORKERS = 2
CLIENTS = 8
_MORE = 4


@pytest.fixture
def who(folder: Path, serve: Serve) -> Callable[..., Server]:
    (folder / "who.py").write_text(MODELS)
    (folder / "go").touch()

    def start(*flags: object, clients: int = CLIENTS + _MORE) -> Server:
        """No worker takes more than its part of `clients`, so that each has some of them, however busy the machine."""
        return serve("who.py:Who", "--workers", WORKERS, "--max-connections", clients, *flags)

    return start


def ask(headers: dict[str, str] | None = None) -> bytes:
    return http("POST", "/v2/models/Who/infer", infer_body([1.0]), headers)


@contextmanager
def wires_to_all(server: Server, count: int) -> Iterator[list[Wire]]:
    """So many connections, dealt out among all workers."""
    with ExitStack() as stack:
        yield [stack.enter_context(Wire(server.port)) for _ in range(count)]


def end(server: Server) -> None:
    server.stop()
    assert server.end() == 0


def told(folder: Path, section: str, setting: str, *flags: object) -> object:
    """What `foretell config` says of a setting."""
    done = run("config", "--workers", WORKERS, *flags, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[section][setting]["in_each_worker"]


def test_a_rate_is_that_of_all_together(who: Callable[..., Server], folder: Path) -> None:
    flags = ("--rate-per-s", 0.01, "--rate-burst", 6)
    assert told(folder, "server", "rate_burst", *flags) == 3
    assert told(folder, "server", "rate_per_s", *flags) == 0.005
    server = who(*flags)
    with wires_to_all(server, CLIENTS) as wires:
        statuses = [wire.send(ask()).answer().status for wire in wires for _ in range(6)]
    assert statuses.count(200) == 6
    assert statuses.count(429) == len(statuses) - 6
    end(server)


def test_the_rate_of_a_token_is_that_of_all_together(who: Callable[..., Server], folder: Path) -> None:
    secret = add(folder / "tokens.toml", "a", "infer", rate_per_s=0.01, burst=4)
    free = add(folder / "tokens.toml", "b", "infer")
    server = who("--tokens-file", "tokens.toml")
    with wires_to_all(server, CLIENTS) as wires:
        limited = [wire.send(ask(bearer(secret))).answer().status for wire in wires for _ in range(6)]
        others = [wire.send(ask(bearer(free))).answer() for wire in wires]
    assert limited.count(200) == 4
    assert limited.count(429) == len(limited) - 4
    assert {answer.status for answer in others} == {200}
    assert len({values(answer, "output")[0] for answer in others}) == WORKERS
    end(server)


def test_a_queue_is_that_of_all_together(who: Callable[..., Server], folder: Path) -> None:
    flags = ("--max-queue-size", 6, "--max-batch-size", 1)
    assert told(folder, "model", "max_queue_size", *flags) == 3
    server = who(*flags, clients=24 + _MORE)
    (folder / "go").unlink()
    # In each a call is under way, and a replica whose calls are short has the next one already.
    refusals = range(24 - 6 - 2 * WORKERS, 24 - 6 - WORKERS + 1)
    with wires_to_all(server, 24) as wires:
        for wire in wires:
            wire.send(ask())
        with Wire(server.port) as wire:

            def refused() -> bool:
                text = wire.send(http("GET", "/metrics")).answer().body.decode()
                (waiting,) = re.findall(r"^foretell_queue_rows\{.*} (\S+)$", text, re.MULTILINE)
                (count,) = re.findall(r'^foretell_requests_total\{.*outcome="overloaded".*} (\S+)$', text, re.MULTILINE)
                return float(waiting) == 6 and float(count) in refusals

            until(refused)
        (folder / "go").touch()
        statuses = [wire.answer().status for wire in wires]
    assert statuses.count(429) in refusals
    assert statuses.count(200) == 24 - statuses.count(429)
    end(server)


def test_connections_are_those_of_all_together(who: Callable[..., Server], folder: Path) -> None:
    assert told(folder, "server", "max_connections", "--max-connections", 8) == 4
    server = who(clients=8)
    with wires_to_all(server, CLIENTS) as wires:
        pids = [values(wire.send(ask()).answer(), "output")[0] for wire in wires]
        assert sorted(pids.count(pid) for pid in set(pids)) == [4, 4]
        with Wire(server.port) as ninth:
            assert ninth.answer().status == 503
    end(server)


def test_an_objective_holds_in_each(who: Callable[..., Server], folder: Path) -> None:
    assert told(folder, "model", "slo_ms", "--slo-ms", 5000) == 5000
    server = who("--slo-ms", 5000)
    with wires_to_all(server, CLIENTS) as wires:
        pids = {values(wire.send(ask()).answer(), "output")[0] for wire in wires}
        kept = [wire.send(http("GET", "/v2/models/Who/config")).answer().json["foretell"] for wire in wires]
    assert len(pids) == WORKERS
    assert [each["objective"]["slo_ms"] for each in kept] == [5000] * 8
    margins = re.findall(r'^foretell_slo_margin_seconds\{.*worker="(\d)"', get(server, "/metrics").body.decode(), re.M)
    assert sorted(margins) == ["0", "1"]
    end(server)
