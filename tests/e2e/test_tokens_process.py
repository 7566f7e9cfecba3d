"""A `foretell serve` that asks for tokens: what its start says, and tokens that come and go while it runs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from program import Server, run
from token_files import bearer
from wire import Wire, http

Serve = Callable[..., Server]
NEW = ("token", "new", "--scope", "infer", "--tokens-file", "tokens.toml", "--name")


def status(server: Server, secret: str = "") -> int:
    with Wire(server.port) as wire:
        headers = bearer(secret) if secret else {}
        return wire.send(http("GET", "/v2/models/iris", headers=headers)).answer().status


def test_tokens_come_and_go_with_sighup(serve: Serve, folder: Path) -> None:
    old = run(*NEW, "old", cwd=folder).stdout.strip()
    server = serve("iris.onnx", "--tokens-file", "tokens.toml")
    assert "predictions, metrics and management need a token (1 known); health is open" in server.said
    assert [status(server), status(server, old)] == [401, 200]
    (folder / "tokens.toml").unlink()
    new = run(*NEW, "new", cwd=folder).stdout.strip()
    assert [status(server, old), status(server, new)] == [200, 401]
    server.stop(signal.SIGHUP)
    server.wait_for("read again: tokens")
    assert [status(server, old), status(server, new)] == [401, 200]
    (folder / "tokens.toml").write_text("damaged")
    server.stop(signal.SIGHUP)
    assert "not valid TOML" in server.wait_for("not read again: ")
    assert status(server, new) == 200
    server.stop()
    assert server.end() == 0


def test_a_token_of_the_environment(serve: Serve) -> None:
    secret = "a-secret-of-the-environment"
    server = serve("iris.onnx", env={"FORETELL_TOKEN": secret})
    assert [status(server), status(server, secret)] == [401, 200]
    server.stop()
    assert server.end() == 0
    assert not any(secret in line for line in server.said)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--tokens-file", "gone.toml"), "tokens_file gone.toml: cannot be read"),
        (("--rate-burst", "2"), "rate_burst would do nothing"),
        (("--cors-origins", "a.example"), "cors_origins"),
    ],
)
def test_a_start_that_would_not_do_what_it_says_is_refused(
    folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    result = run("serve", "iris.onnx", *arguments, cwd=folder)
    assert result.returncode == 2
    assert sentence in result.stderr.splitlines()[-1]
