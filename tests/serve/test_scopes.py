"""What a caller needs for each route: every route, for every caller, on every kind of server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from repositories import Managed, put, times
from routes import FIXED, ROUTES, SCOPES, STREAM_PY
from serving import Running
from token_files import add, bearer
from wire import http, infer_body

from foretell.serve.routes import Route

CALLERS = ("nobody", "wrong", "infer", "metrics", "manage", "all")


def expected(scope: str, caller: str, kind: str) -> int:
    """The table in words: what the guide says."""
    if scope == "open":
        return 200
    if kind == "tokens":
        if caller in ("nobody", "wrong"):
            return 401
        return 200 if caller in (scope, "all") else 403
    return 401 if scope == "manage" and kind == "another address" else 200


def ask(server: Running, request: str, headers: dict[str, str]) -> int:
    method, path = request.split()
    body = infer_body([1]) if path.endswith("infer") else b'{"text":"a"}' if "/generate" in path else b"{}"
    with server.connect() as wire:
        wire.send(http(method, path, body if method == "POST" else b"", headers))
        return wire.answer(head=method == "HEAD").status


@pytest.mark.parametrize("kind", ["loopback", "another address", "tokens"])
def test_every_route_lets_in_whom_it_should(manage: Callable[..., Managed], tmp_path: Path, kind: str) -> None:
    file = tmp_path / "tokens.toml"
    scopes = {**{scope: (scope,) for scope in ("infer", "metrics", "manage")}, "all": ("infer", "metrics", "manage")}
    headers = {caller: bearer(add(file, caller, *scopes[caller])) for caller in scopes}
    headers |= {"nobody": {}, "wrong": bearer("wrong" * 5)}
    options: dict[str, dict[str, Any]] = {
        "loopback": {}, "another address": {"host": "0.0.0.0"}, "tokens": {"tokens_file": str(file)}
    }  # fmt: skip
    put(tmp_path / "models/m/1/model.onnx", times(2))
    put(tmp_path / "models/other/1/model.onnx", times(3))
    stream = put(tmp_path / "stream.py", STREAM_PY)
    server = manage(tmp_path / "models", f"s={stream}:spell", **options[kind])
    wanted = {(request, caller): expected(SCOPES[request], caller, kind) for request in SCOPES for caller in CALLERS}
    assert {(request, caller): ask(server, request, headers[caller]) for request, caller in wanted} == wanted


def test_the_table_has_every_route(manage: Callable[..., Managed], tmp_path: Path) -> None:
    """Every route that the server tells of says what it needs; those of models and of the repository are patterns."""
    assert set(SCOPES) == set(ROUTES)
    server = manage(put(tmp_path / "m.onnx", times(2)))
    fixed = server.application._fixed
    assert {path.decode(): route.scope for path, route in fixed.items()} == FIXED


def test_a_route_without_a_scope_cannot_be() -> None:
    with pytest.raises(TypeError, match="scope"):
        Route({})  # type: ignore[call-arg]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PUT", "PATCH", "NOTIFY"])
def test_no_method_is_a_way_around_a_scope(manage: Callable[..., Managed], tmp_path: Path, method: str) -> None:
    file = tmp_path / "tokens.toml"
    secret = add(file, "metrics", "metrics")
    server = manage(put(tmp_path / "m.onnx", times(2)), tokens_file=str(file))
    for request, scope in SCOPES.items():
        path = request.split()[1]
        if scope != "open":
            assert ask(server, f"{method} {path}", {}) == 401, request
        if scope in ("infer", "manage"):
            assert ask(server, f"{method} {path}", bearer(secret)) == 403, request


SPELLINGS = [
    "/v2/repository/index?x=1", "/v2/repository/index/", "http://localhost/v2/repository/index",
    "HTTP://LOCALHOST/v2/repository/index", "/v2/repository/models/m/load", "/v2/repository/models/%6D/load",
    "/v2/repository/models/..%2Fm/load", "/v2/repository/models/nothing/load",
]  # fmt: skip
NOWHERE = ["//v2/repository/index", "/v2/./repository/index", "/v2/%72epository/index", "/V2/repository/index",
           "/v2/models/../repository/index", "/v2/repository/index#x", "/v2/repository/index;x"]  # fmt: skip


def test_no_spelling_of_a_path_is_a_way_around_a_scope(manage: Callable[..., Managed], tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    infers = bearer(add(file, "infer", "infer"))
    server = manage(put(tmp_path / "m.onnx", times(2)), tokens_file=str(file))
    for path in SPELLINGS:
        assert (ask(server, f"POST {path}", {}), ask(server, f"POST {path}", infers)) == (401, 403), path
    for path in NOWHERE:
        assert ask(server, f"POST {path}", {}) in (400, 401), path
        assert ask(server, f"POST {path}", infers) in (400, 404), path
