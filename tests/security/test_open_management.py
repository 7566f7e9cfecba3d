"""Class of holes: open management. No web page and no wrong name gets past any route, by any method.

Who needs which token for each route is in `tests/serve/test_scopes.py`.
"""

from __future__ import annotations

import pytest
from repositories import Managed
from routes import SCOPES
from wire import http

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "LINK", "PURGE")
FOREIGN = ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "0.0.0.0", "[::]")


def ask(server: Managed, method: str, path: str, headers: dict[str, object], host: str = "localhost") -> int:
    request = http(method, path, b"{}" if method == "POST" else b"", headers)
    with server.connect() as wire:
        wire.send(request.replace(b"Host: localhost", b"Host: " + host.encode()))
        return wire.answer(head=method == "HEAD").status


@pytest.mark.parametrize("method", METHODS)
def test_a_foreign_name_is_refused_on_every_route(server: Managed, method: str) -> None:
    """DNS rebinding: a page under its own name, whose address has become ours."""
    for path in {request.split()[1] for request in SCOPES}:
        for host in FOREIGN:
            assert ask(server, method, path, {}, host) == 421, (path, host)


def test_pages_of_other_origins_manage_nothing(server: Managed) -> None:
    managing = [request.split() for request, scope in SCOPES.items() if scope == "manage"]
    for method, path in managing:
        for headers in (
            {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"},
            {"Origin": "http://localhost.evil.example"}, {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
            {"Origin": "https://evil.example", "Content-Type": "text/plain", "X-Forwarded-Host": "evil.example"},
            {"Origin": "https://evil.example", "X-HTTP-Method-Override": "GET"},
        ):  # fmt: skip
            assert ask(server, method, path, headers) == 403, (path, headers)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("GET", "HEAD", "OPTIONS", "POST")])
def test_no_other_method_does_anything(server: Managed, method: str) -> None:
    for path in {request.split()[1] for request in SCOPES}:
        assert ask(server, method, path, {"X-HTTP-Method-Override": "POST"}) == 405, path


def test_what_manages_needs_a_request_that_no_link_makes(server: Managed) -> None:
    for request, scope in SCOPES.items():
        if scope == "manage":
            for method in ("GET", "HEAD"):
                assert ask(server, method, request.split()[1], {}) == 405


@pytest.mark.parametrize(
    "path",
    [
        "/v2/logging", "/v2/trace/setting", "/v2/models/m/trace/setting", "/v2/systemsharedmemory/status",
        "/v2/systemsharedmemory/region/x/register", "/v2/cudasharedmemory/region/x/register", "/v2/models/m/stats",
        "/admin", "/api/jobs/", "/models?url=http://127.0.0.1/", "/debug/pprof/", "/.env", "/.git/config",
        "/v1/models/m", "/shutdown", "/v2/shutdown", "/docs", "/server-status", "/static/../models",
    ],
)  # fmt: skip
def test_what_others_have_left_open_is_not_there(server: Managed, path: str) -> None:
    """Logs to any file, memory of other processes, jobs, models from anywhere: routes that holes of others had."""
    body = {"log_file": "planted.log", "trace_file": "planted.json", "key": "/x", "byte_size": 64}
    for method in ("GET", "POST"):
        answer = server.ask(http(method, path, str(body).replace("'", '"').encode() if method == "POST" else b""))
        assert answer.status == 404, (method, answer)
