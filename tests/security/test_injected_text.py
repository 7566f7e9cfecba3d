"""Class of holes: text that becomes a command, a header, a log line or another metric. Text of a caller stays text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest
from repositories import Manage, Managed
from routes import SCOPES
from wire import http, infer

from foretell.cli import main

TEXTS = [
    "a\nb", "a\r\nX-Injected: 1", "a\r\n\r\nHTTP/1.1 200 OK", "$(touch planted)", "`touch planted`", "; touch planted",
    "| touch planted", "&& touch planted", "\x1b[2J\x1b]0;x\x07", "{{7*7}}", "${7*7}", "%s%s%n", "{0.__class__}",
    '"} 1\nforetell_fake{x="', "'; DROP TABLE m; --", "<script>alert(1)</script>", "\u202e", "\u2028x", "\ud83d\ude00",
]  # fmt: skip


def check(server: Managed, request: bytes) -> None:
    with server.connect() as wire:
        answer = wire.send(request).answer()
        assert answer.header("x-injected") is None
        assert answer.header("content-type") in ("application/json", None)  # no browser takes it for a page
        if answer.status >= 400:
            assert answer.error.isprintable() or "\u2028" not in answer.error
            assert not re.search(r"[\x00-\x1f\x7f]", answer.error), answer.error
            assert "49" not in answer.error
        wire.send(http("GET", "/v2/health/live"))  # there was one reply, and no other is before this one's
        assert wire.answer().json["live"] is True


@pytest.mark.parametrize("text", TEXTS)
def test_text_of_a_caller_stays_text(server: Managed, folder: Path, text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    name = quote(raw, safe="")
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}
    said = text.encode("utf-16", "surrogatepass").decode("utf-16")
    for path in (f"/v2/models/{name}", f"/v2/models/m/versions/{name}", f"/{name}", f"/v2/models/m?x={name}"):
        check(server, http("GET", path))
    check(server, http("POST", f"/v2/repository/models/{name}/load"))
    check(server, http("POST", f"/v2/repository/models/{name}/unload"))
    for body in (
        {"id": said, "inputs": [tensor]}, {"inputs": [{**tensor, "name": said}]},
        {"inputs": [{**tensor, "datatype": said}]}, {"inputs": [tensor], "outputs": [{"name": said}]},
        {"inputs": [tensor], "parameters": {said: said}}, {"inputs": [tensor], "parameters": {"timeout": said}},
    ):  # fmt: skip
        check(server, http("POST", "/v2/models/m/infer", orjson.dumps(body)))
    check(server, http("POST", "/v2/repository/models/m/load", orjson.dumps({"parameters": {said: said}})))
    metrics = server.ask(http("GET", "/metrics")).body.decode()
    assert "foretell_fake" not in metrics
    assert all(re.match(r"# |(foretell|process|python)_\w+[ {]", line) for line in metrics.splitlines())
    assert all("\n" not in line and "\r" not in line and "\x1b" not in line for line in server.said)
    assert not (folder / "work/planted").exists()


@pytest.mark.parametrize("request_line", SCOPES)
def test_a_header_of_a_caller_stays_where_it_was(server: Managed, request_line: str) -> None:
    method, path = request_line.split()
    plain = http(method, path, b"{}" if method == "POST" else b"")
    values = (b"$(id)", b"x; y", b"\x7f", b"\xff\xfe", b"a\tb", b"x" * 5000, b"%0d%0aX-Injected:%201")
    headers = (b"X-Request-Id", b"Traceparent", b"Tracestate", b"Origin", b"Accept-Encoding", b"User-Agent", b"Range")
    for header in headers:
        for value in values:
            answer = server.ask(plain.replace(b"\r\n\r\n", b"\r\n%b: %b\r\n\r\n" % (header, value), 1))
            assert answer.status < 500
            assert answer.header("x-injected") is None
            assert all(own.isascii() and own.isprintable() and len(own) < 1000 for _, own in answer.headers)


@pytest.mark.parametrize("name", ["a\nb", "../a", "a/b", "", "$(touch planted)", "`x`", "\x1b[2J", "a\0"])
def test_a_name_that_could_be_more_than_a_name_is_refused_at_the_start(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = folder / "models/m/1/model.onnx"
    assert main(["serve", f"{name}={model}"]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("foretell: ")
    assert not (folder / "work/planted").exists()


COMBINED = re.compile(r'\S+ - - \[[^]]+\] "(?:[^"\\]|\\x..)*" \d{3} (?:\d+|-) "(?:[^"\\]|\\x..)*" "(?:[^"\\]|\\x..)*"')


@pytest.mark.parametrize("form", ["json", "combined"])
def test_no_field_of_a_request_begins_a_line_of_the_log(folder: Path, serve_more: Manage, form: str) -> None:
    log = folder / "work/log"
    server = serve_more(folder / "models", access_log=form, access_log_file=str(log))
    fields = ("User-Agent", "Referer", "X-Request-Id", "Traceparent", "X-Forwarded-For", "Host", "Authorization")
    sent = 0
    for text in TEXTS:
        raw = text.encode("utf-8", "surrogatepass")
        line = raw.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"") or b"-"
        requests = [http("GET", "/v2").replace(b"\r\n\r\n", b"\r\n%b: %b\r\n\r\n" % (field.encode(), raw), 1)
                    for field in fields]  # fmt: skip
        requests += [http("GET", f"/v2/models/{quote(raw, safe='')}"), b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % line,
                     b"%b / HTTP/1.1\r\nHost: localhost\r\n\r\n" % line, raw + b"\r\n\r\n"]  # fmt: skip
        for request in requests:
            with server.connect() as wire:
                answers = wire.send(request).finish().rest()
            sent += answers.count(b"X-Request-Id: ")
    server.close()
    lines = log.read_bytes().decode("utf-8").split("\n")
    assert lines.pop() == ""
    assert len(lines) == sent
    for written in lines:
        assert written.isprintable(), written
        if form == "json":
            assert json.loads(written)["event"] == "request"
        else:
            assert COMBINED.fullmatch(written), written
            assert written.isascii()


def test_what_a_caller_names_is_no_label(server: Managed) -> None:
    """A label for each name that callers think of would be memory without end, and lines of their making."""
    series = len(server.ask(http("GET", "/metrics")).body.splitlines())
    for number, text in enumerate(TEXTS):
        name = quote(text.encode("utf-8", "surrogatepass"), safe="")
        server.ask(infer(name or "x", [1]))
        server.ask(infer("m", [1], {"X-Request-Id": f"a{number}", "Content-Type": "x", "User-Agent": f"u{number}"}))
        server.ask(
            http("POST", "/v2/models/m/infer", orjson.dumps({"id": f"{number}", "parameters": {f"p{number}": 1}}))
        )
    metrics = server.ask(http("GET", "/metrics")).body.decode()
    assert set(re.findall(r'model="([^"]*)"', metrics)) == {"m", "s"}
    assert len(metrics.splitlines()) < series + 50
