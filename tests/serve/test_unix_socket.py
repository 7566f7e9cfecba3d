"""Serving on a Unix socket instead of an address."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from served_models import Echo
from wire import Wire, http, infer, values

from foretell.config import Layer, ServerSettings, resolve
from foretell.errors import InvalidSetting, Unavailable


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # the path itself may be too long for a socket
    return "door.sock"


def test_requests_are_answered_and_nobody_else_may_ask(serve: Any, path: str) -> None:
    server = serve(echo=Echo(), unix_socket=path)
    with server.connect() as wire:
        for number in range(3):
            assert values(wire.send(infer("echo", [number])).answer()) == [number]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert server.application.server.listener.url == f"unix:{path}"


def test_any_host_is_good_there_unless_some_are_named(serve: Any, path: str) -> None:
    request = b"GET /v2 HTTP/1.1\r\nHost: foretell\r\n\r\n"
    assert serve(echo=Echo(), unix_socket=path).ask(request).status == 200
    assert serve(echo=Echo(), unix_socket="2.sock", allowed_hosts=("other",)).ask(request).status == 421


def test_its_permissions_can_be_chosen(serve: Any, path: str) -> None:
    serve(echo=Echo(), unix_socket=path, unix_socket_mode="0660")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


def test_it_is_removed_at_the_end_and_only_its_own(serve: Any, path: str) -> None:
    server = serve(echo=Echo(), unix_socket=path)
    server.close()
    assert not os.path.lexists(path)
    other = serve(echo=Echo(), unix_socket=path)
    os.rename(path, "kept.sock")
    Path(path).write_text("somebody else's")
    other.close()
    assert Path(path).read_text() == "somebody else's"


def test_the_socket_of_a_dead_server_is_replaced(serve: Any, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
        dead.listen()
    assert os.path.lexists(path)
    assert values(serve(echo=Echo(), unix_socket=path).ask(infer("echo", [1]))) == [1]


def test_a_living_server_keeps_its_socket(serve: Any, path: str) -> None:
    first = serve(echo=Echo(), unix_socket=path)
    with pytest.raises(Unavailable, match=r"cannot listen on unix:door\.sock: another server listens there; choose"):
        serve(echo=Echo(), unix_socket=path)
    assert values(first.ask(infer("echo", [1]))) == [1]


def test_a_file_is_never_replaced(serve: Any, path: str) -> None:
    Path(path).write_text("precious")
    with pytest.raises(Unavailable, match="something that is no socket is there"):
        serve(echo=Echo(), unix_socket=path)
    assert Path(path).read_text() == "precious"
    os.symlink("elsewhere", "link.sock")
    with pytest.raises(Unavailable, match="something that is no socket is there"):
        serve(echo=Echo(), unix_socket="link.sock")
    with pytest.raises(Unavailable, match=r"cannot listen on unix:nowhere/door\.sock: No such file or directory"):
        serve(echo=Echo(), unix_socket="nowhere/door.sock")


def test_a_path_that_is_too_long_is_told_so(serve: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"the path is too long; expected at most 10\d bytes, .*, got 200"):
        serve(echo=Echo(), unix_socket="x" * 200)


def test_a_client_that_closes_its_side_is_answered_there_too(serve: Any, path: str) -> None:
    server = serve(echo=Echo(), unix_socket=path)
    with server.connect() as wire:
        assert values(wire.send(infer("echo", [1])).finish().answer()) == [1]
        assert wire.closed


@pytest.mark.parametrize(
    ("values", "idle"),
    [
        ({"unix_socket": "a", "http_port": 1}, "http_port"),
        ({"unix_socket": "a", "host": "0.0.0.0"}, "host"),
        ({"unix_socket": "a", "tls_cert": "b"}, "tls_cert"),
        ({"unix_socket_mode": "0660"}, "unix_socket_mode"),
        ({"tls_key": "a"}, "tls_key"),
        ({"tls_client_ca": "a"}, "tls_client_ca"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(values: dict[str, Any], idle: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{idle} would do nothing"):
        resolve(ServerSettings, [Layer("--flags", values)])


def test_a_flag_overrules_a_file_and_no_file_a_flag() -> None:
    file, flag = {"unix_socket": "a"}, {"http_port": 1}
    with pytest.raises(InvalidSetting, match="http_port would do nothing"):
        resolve(ServerSettings, [Layer("--http-port", flag), Layer("foretell.toml", file)])
    assert resolve(ServerSettings, [Layer("--unix-socket", file), Layer("foretell.toml", flag)]).settings.unix_socket


@pytest.mark.parametrize("mode", ["600 ", "rw", "0999", "07777", ""])
def test_permissions_are_octal(mode: str) -> None:
    with pytest.raises(InvalidSetting, match="unix_socket_mode: wrong value; expected permissions in octal"):
        resolve(ServerSettings, [Layer("--flags", {"unix_socket": "a", "unix_socket_mode": mode})])


def test_metrics_and_health_are_there_too(serve: Any, path: str) -> None:
    server = serve(echo=Echo(), unix_socket=path)
    with Wire(0, path=path) as wire:
        for each in ("/metrics", "/v2/health/ready", "/"):
            assert wire.send(http("GET", each)).answer().status == 200
    assert server.application.server.listener.local
