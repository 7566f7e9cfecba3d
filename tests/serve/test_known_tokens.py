"""With tokens on, requests of a connection are not parsed anew either, and the token is looked at for each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from served_models import InlineEcho
from serving import Running
from token_files import add, bearer
from wire import Wire, infer, values


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.toml"


def not_parsed(server: Running, wire: Wire, headers: dict[str, str], times: int = 6) -> None:
    """Asks until the heads of this client are known: the last of them was none that the parser saw."""
    for number in range(times):
        assert values(wire.send(infer("echo", [number], headers)).answer()) == [number]
    connection = server.only_connection()
    assert server.on_loop(lambda: (len(connection._templates), connection._misses)) == (1, 0)


def test_a_head_with_a_token_is_known_on_its_connection_only(serve: Any, file: Path) -> None:
    headers = bearer(add(file, "shop", "infer"))
    server = serve(echo=InlineEcho(), tokens_file=str(file))
    with server.connect() as wire:
        not_parsed(server, wire, headers)
        assert len(server.application.server.heads) == 0  # nothing secret is kept for all
        connection = server.only_connection()
        kept = server.on_loop(lambda: repr(connection._templates))
        assert headers["Authorization"].removeprefix("Bearer ") not in kept
        others = {"Authorization": "Bearer " + "x" * len(headers["Authorization"].removeprefix("Bearer "))}
        assert wire.send(infer("echo", [1], others)).answer().status == 401
        assert values(wire.send(infer("echo", [2], headers)).answer()) == [2]


def test_a_token_that_is_gone_is_gone_for_known_heads_too(serve: Any, file: Path) -> None:
    gone = bearer(add(file, "shop", "infer"))
    server = serve(echo=InlineEcho(), tokens_file=str(file))
    with server.connect() as wire:
        not_parsed(server, wire, gone)
        file.write_text("")
        server.on_loop(server.application.reload)
        assert wire.send(infer("echo", [1], gone)).answer().status == 401
        stays = bearer(add(file, "other", "infer"))
        server.on_loop(server.application.reload)
        assert values(wire.send(infer("echo", [1], stays)).answer()) == [1]
        assert wire.send(infer("echo", [1], gone)).answer().status == 401


def test_a_rate_counts_known_heads_too(serve: Any, file: Path) -> None:
    headers = bearer(add(file, "shop", "infer", rate_per_s=0.001, burst=7))
    server = serve(echo=InlineEcho(), tokens_file=str(file))
    with server.connect() as wire:
        not_parsed(server, wire, headers)
        assert [wire.send(infer("echo", [1], headers)).answer().status for _ in range(3)] == [200, 429, 429]
