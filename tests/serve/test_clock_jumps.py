"""The wall clock is set to another hour while the server runs: dates follow it, and nothing else does."""

from __future__ import annotations

import ast
import email.utils
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served_models import Echo, Gate, InlineEcho
from serving import Running, served
from wire import http, infer, infer_body, values

import foretell
from foretell.config import ModelSettings

PACKAGE = Path(foretell.__file__).parent
HOURS = [-30, -1, 1, 30]
SHOWN = {
    "batch/diary.py": "when a job began",
    "batch/ending.py": "when a job ended",
    "batch/job_metrics.py": "when a job began and succeeded, for Prometheus",
    "batch/sql/publishing.py": "when a table was written",
    "batch/sql/spooling.py": "when a query was read",
    "cli/telling.py": "the time of a message",
    "events/metrics.py": "when a stream began and last committed, for Prometheus",
    "observe/process.py": "when the process started, for Prometheus",
    "serve/access_log.py": "the time of a line",
    "serve/prediction_record.py": "the time of a line",
    "serve/server.py": "the header Date",
    "verify/proof.py": "when a certificate was made",
}
"""Who may look at the wall clock, and what for: all of it is only shown."""
WALL = {
    "time.time", "time.time_ns", "time.gmtime", "time.localtime", "time.ctime", "datetime.now", "datetime.today",
    "datetime.utcnow", "date.today", "email.utils.formatdate", "formatdate", "time.strftime",
}  # fmt: skip


def test_nothing_that_decides_looks_at_the_wall_clock() -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] != "demo"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Attribute) and ast.unparse(node).removeprefix("datetime.datetime.") in WALL)
        or (isinstance(node, ast.ImportFrom) and node.module == "time")
    }
    assert found == set(SHOWN)


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[Running, float], None]:
    """`jump(server, hours)`: returns when the server has seen the new time."""
    real = time.time

    def jumps(server: Running, hours: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)

        def seen() -> bool:
            date = server.application.server.date.decode().partition(": ")[2].strip()
            return abs(email.utils.parsedate_to_datetime(date).timestamp() - real() - hours * 3600) < 60

        server.until(seen, pause_s=0.01)

    return jumps


@pytest.mark.parametrize("hours", HOURS)
def test_what_waits_and_what_is_idle_goes_on(serve: Any, jump: Any, hours: float) -> None:
    gate = Gate()
    server = serve(served(InlineEcho(), "objective", settings=ModelSettings(slo_ms=500)), gate=gate)
    with server.connect() as idle, server.connect() as waiting, server.connect() as slow:
        assert values(idle.send(infer("objective", [1])).answer()) == [1]
        waiting.send(infer("gate", [1]))
        gate.wait_entered()
        request = infer("objective", [3])
        slow.send(request[:-5])
        jump(server, hours)
        for number in range(20):
            assert values(idle.send(infer("objective", [number])).answer()) == [number]
        assert values(slow.send(request[-5:]).answer()) == [3]
        gate.open_gate()
        answer = waiting.answer()
        assert values(answer) == [1]
        date = email.utils.parsedate_to_datetime(answer.header("date") or "").timestamp()
        assert abs(date - time.time()) < 60
        health = json.loads(idle.send(http("GET", "/v2/health/ready")).answer().body)
        assert health == {"live": True, "ready": True}


@pytest.mark.parametrize("hours", HOURS)
def test_a_deadline_comes_when_its_time_has_passed(serve: Any, jump: Any, hours: float) -> None:
    gate = Gate()
    server = serve(gate=gate)
    late = json.loads(infer_body([1]))
    late["parameters"] = {"timeout": 100_000}
    with server.connect() as first, server.connect() as second:
        first.send(infer("gate", [1]))
        gate.wait_entered()
        jump(server, hours)
        second.send(http("POST", "/v2/models/gate/infer", json.dumps(late).encode()))
        assert second.answer().status == 504
        gate.open_gate()
        assert values(first.answer()) == [1]


@pytest.mark.parametrize("hours", HOURS)
def test_a_rate_is_neither_filled_nor_emptied(serve: Any, jump: Any, hours: float) -> None:
    server = serve(echo=Echo(), rate_per_s=0.001, rate_burst=3)
    assert [server.ask(infer("echo", [1])).status for _ in range(4)] == [200, 200, 200, 429]
    jump(server, hours)
    answer = server.ask(infer("echo", [1]))
    assert answer.status == 429
    assert 0 < int(answer.header("retry-after") or 0) <= 1000


@pytest.mark.parametrize("hours", HOURS)
def test_a_cached_answer_is_as_old_as_it_is(serve: Any, jump: Any, hours: float) -> None:
    model = Echo()
    server = serve(served(model, "kept", settings=ModelSettings(cache_size=10, cache_ttl_s=1000)))
    assert values(server.ask(infer("kept", [1]))) == [1]
    calls = len(model.batches)
    jump(server, hours)
    assert values(server.ask(infer("kept", [1]))) == [1]
    assert len(model.batches) == calls
