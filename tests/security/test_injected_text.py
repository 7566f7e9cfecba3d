"""Class of holes: text that becomes a command, a header, a log line or another metric. Text of a caller stays text."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest
from repositories import Managed
from routes import SCOPES
from wire import http

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
