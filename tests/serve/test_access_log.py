"""One line for each request, whatever became of it, and no harm from the disk."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from served_models import Echo, Gate, InlineEcho
from serving import Running
from wire import http, infer, infer_body, values

from foretell.config import ServerSettings, settings
from foretell.errors import InvalidSetting

COMBINED = re.compile(
    r'(\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "([^"]*)" (\d{3}) (\d+|-) "([^"]*)" "([^"]*)"'
)
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def logged(serve: Any, path: Path, form: str = "json", **more: Any) -> Running:
    models = {"echo": Echo(), "quick": InlineEcho(), **more}
    server: Running = serve(access_log=form, access_log_file=str(path), **models)
    return server


def test_json_says_who_asked_what_and_what_came_of_it(serve: Any, tmp_path: Path) -> None:
    server = logged(serve, tmp_path / "log", max_body_bytes=1000)
    asked = [
        infer("echo", [1], {"User-Agent": "me", "X-Request-Id": "mine"}), infer("quick", [1]), infer("quick", [2]),
        http("GET", "/v2"), http("HEAD", "/v2"), http("GET", "/nowhere?a=b"), infer("echo", ["no"]),
        http("POST", "/v2/models/echo/infer", b"x" * 2000), b"nonsense\r\n\r\n",
        infer("echo", [1], {"traceparent": f"00-{TRACE}-{PARENT}-01"}),
    ]  # fmt: skip
    answers = []
    for request in asked:
        with server.connect() as wire:
            answers.append(wire.send(request).answer(head=request.startswith(b"HEAD")))
    server.close()
    found = entries(tmp_path / "log")
    assert [entry["status"] for entry in found] == [200, 200, 200, 200, 200, 404, 400, 413, 400, 200]
    assert [entry["status"] for entry in found] == [answer.status for answer in answers]
    assert [entry["request_id"] for entry in found] == [answer.header("x-request-id") for answer in answers]
    assert [entry["bytes"] for entry in found] == [len(answer.body) for answer in answers]
    first, last = found[0], found[-1]
    assert {key: first[key] for key in ("event", "level", "client", "method", "path", "user_agent", "request_id")} == {
        "event": "request", "level": "info", "client": "127.0.0.1", "method": "POST",
        "path": "/v2/models/echo/infer", "user_agent": "me", "request_id": "mine",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert first["duration_ms"] >= 0 and "trace_id" not in first
    assert (last["trace_id"], last["parent_id"]) == (TRACE, PARENT)
    assert answers[-1].header("traceresponse") == f"00-{TRACE}-{last['span_id']}-01"
    assert found[5]["path"] == "/nowhere?a=b"


def test_combined_is_what_log_readers_know(serve: Any, tmp_path: Path) -> None:
    server = logged(serve, tmp_path / "log", "combined")
    wild = 'a "b" \\ é'
    server.ask(http("GET", "/v2", headers={"User-Agent": wild, "Referer": "http://localhost/x"}))
    server.ask(infer("quick", [1]))
    server.ask(http("GET", '/"q"'))
    server.close()
    lines = (tmp_path / "log").read_text("ascii").splitlines()
    matches = [COMBINED.fullmatch(line) for line in lines]
    assert all(matches), lines
    first, second, third = (match.groups() for match in matches if match)
    assert first[:3] == ("127.0.0.1", "GET /v2 HTTP/1.1", "200")
    assert first[4:] == ("http://localhost/x", "a \\x22b\\x22 \\x5c \\xe9")
    assert (second[1], second[4], second[5]) == ("POST /v2/models/quick/infer HTTP/1.1", "-", "-")
    assert third[1].startswith("GET /\\x22q\\x22 ")


def test_requests_of_one_connection_are_told_apart(serve: Any, tmp_path: Path) -> None:
    server = logged(serve, tmp_path / "log")
    with server.connect() as wire:
        wire.send(b"".join(infer("quick", [number]) for number in range(20)))
        answers = [wire.answer() for _ in range(20)]
    server.close()
    assert [values(answer) for answer in answers] == [[number] for number in range(20)]
    found = [entry["request_id"] for entry in entries(tmp_path / "log")]
    assert found == [answer.header("x-request-id") for answer in answers]
    assert len(set(found)) == 20


def test_a_client_that_gave_up_is_in_the_log(serve: Any, tmp_path: Path) -> None:
    gate = Gate()
    server = logged(serve, tmp_path / "log", gate=gate)
    with server.connect() as wire:
        wire.send(infer("gate", [1]))
        gate.wait_entered()
    server.until(lambda: server.application.server.connections == 0)
    gate.open_gate()
    server.close()
    (entry,) = entries(tmp_path / "log")
    assert (entry["status"], entry["bytes"], entry["client"]) == (499, 0, "127.0.0.1")


def test_a_full_disk_stops_nobody(serve: Any) -> None:
    server = logged(serve, Path("/dev/full"))
    with server.connect() as wire:
        for number in range(50):
            assert values(wire.send(infer("quick", [number])).answer()) == [number]
    lines = server.application.server.access_log
    assert lines is not None
    server.until(lambda: lines.lines.dropped >= 50)
    text = server.ask(http("GET", "/metrics")).body.decode()
    assert re.search(r"^foretell_access_log_lines_dropped_total 5[01]\.0$", text, re.MULTILINE)
    assert "foretell_access_log_lines_total 0.0" in text


def test_off_writes_nothing_and_says_nothing(serve: Any) -> None:
    server: Running = serve(echo=Echo())
    assert server.application.server.access_log is None
    assert "access_log" not in server.ask(http("GET", "/metrics")).body.decode()


def test_a_body_that_is_compressed_counts_as_sent(serve: Any, tmp_path: Path) -> None:
    server = logged(serve, tmp_path / "log")
    body = infer_body(list(range(2000)))
    answer = server.ask(http("POST", "/v2/models/echo/infer", body, {"Accept-Encoding": "gzip"}))
    server.close()
    assert entries(tmp_path / "log")[0]["bytes"] == len(answer.body)


def test_a_file_for_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="access_log_file would do nothing"):
        settings(ServerSettings, access_log_file="access.log")


def test_a_file_that_cannot_be_written_stops_the_start(serve: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="cannot be written"):
        logged(serve, tmp_path / "no" / "log")
