"""Class of holes: writing files through settings. No caller can set anything: every setting is tried as a field of
every request, and none of them changes or names a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest
from repositories import Managed
from routes import ROUTES
from wire import http, infer_body

from foretell.config import JobSettings, ModelSettings, ServerSettings

THEIRS = ("log_file", "trace_file", "model_control_mode", "model_repository", "cache_config", "config", "url", "path")
"""What servers of others let callers set."""
SETTINGS = sorted(
    {field.name for kind in (ModelSettings, ServerSettings, JobSettings) for field in dataclasses.fields(kind)}
)
NAMES = (*SETTINGS, *THEIRS)


def spellings(name: str) -> Iterator[str]:
    yield name
    yield name.replace("_", "-")
    yield f"FORETELL_{name.upper()}"


def state(server: Managed) -> tuple[object, ...]:
    """What settings decide."""
    engines = [server.engine(name).settings for name in sorted(server.catalog.names())]
    return (server.application.settings, server.application.server.settings, *engines)


@pytest.mark.parametrize("request_line", ROUTES)
def test_nobody_sets_anything_from_afar(server: Managed, folder: Path, request_line: str) -> None:
    method, path = request_line.split()
    before = state(server)
    planted = folder / "work/planted"
    tensor = orjson.loads(infer_body([1]))["inputs"][0]
    for value in (str(planted), "planted", f"file://{planted}", "../../planted"):
        everything = {spelling: value for name in NAMES for spelling in spellings(name)}
        query = "&".join(f"{name}={quote(value, safe='')}" for name in NAMES)
        bodies: list[dict[str, object]] = [
            everything,
            {"parameters": everything},
            {"inputs": [{**tensor, "parameters": everything}], **everything},
            {"inputs": [tensor], "parameters": everything, "outputs": [{"name": "y", "parameters": everything}]},
            {"text": "a", **everything},
        ]
        requests = [http(method, f"{path}?{query}", orjson.dumps(body) if method == "POST" else b"") for body in bodies]
        for start in range(0, len(NAMES), 50):
            headers = {name.replace("_", "-"): value for name in NAMES[start : start + 50] if name != "host"}
            requests.append(http(method, path, b"{}" if method == "POST" else b"", headers))
        requests += [http(other, path, orjson.dumps(everything)) for other in ("PUT", "PATCH", "POST")]
        for request in requests:
            with server.connect() as wire:
                assert wire.send(request).answer().status < 500
    assert state(server) == before
    assert not list(folder.rglob("planted*"))


@pytest.mark.parametrize("name", NAMES)
def test_no_call_that_loads_takes_a_setting(server: Managed, folder: Path, name: str) -> None:
    before = state(server)
    for spelling in spellings(name):
        for parameters in ({spelling: "planted"}, {"config": orjson.dumps({spelling: "planted"}).decode()}):
            body = orjson.dumps({"parameters": parameters})
            assert server.ask(http("POST", "/v2/repository/models/m/load", body)).status == 400
            assert server.ask(http("POST", "/v2/repository/models/m/unload", body)).status == 400
    assert state(server) == before
    assert not list(folder.rglob("planted*"))
