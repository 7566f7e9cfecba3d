"""A server for each test, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from repositories import Manage, Managed, managing, put, times
from room_models import PROBES, Probe, word
from served_models import Echo
from serving import LoopFactory, Running, served

from foretell.catalog import LiveCatalog, Served
from foretell.config import ServerSettings
from foretell.model import Model
from foretell.types import DataType

Serve = Callable[..., Running]


@pytest.fixture(params=["uvloop", "asyncio"])
def new_loop(request: pytest.FixtureRequest) -> LoopFactory:
    return uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop


@pytest.fixture
def serve(new_loop: LoopFactory) -> Iterator[Serve]:
    """`serve(name=model, ..., limit=value, ...)`: a running server; stopped at the end, with nothing left behind.

    Keywords that are models, or a `Served`, are served under their name; `token` and `clock` go to the application; the
    others are settings of the server.
    """
    running: list[Running] = []

    def start(*more: Served, **named: Any) -> Running:
        models = [served(model, name) for name, model in named.items() if isinstance(model, Model)]
        limits = {name: value for name, value in named.items() if not isinstance(value, Model)}
        options = {name: limits.pop(name) for name in ("token", "clock") if name in limits}
        settings = ServerSettings(**{"http_port": 0, "drain_timeout_s": 5.0, **limits})
        running.append(Running(LiveCatalog([*models, *more]), settings, new_loop, **options))
        return running[-1]

    yield start
    for one in running:
        one.close()
    assert [one.problems for one in running] == [[] for _ in running]


@pytest.fixture
def manage(new_loop: LoopFactory) -> Iterator[Manage]:
    with managing(new_loop) as start:
        yield start


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[Probe]:
    PROBES[str(tmp_path)] = Probe()
    yield PROBES[str(tmp_path)]
    PROBES.pop(str(tmp_path)).end()


@pytest.fixture
def start(manage: Manage, probe: Probe, tmp_path: Path) -> Callable[..., Managed]:
    """`start(n, ...)`: a server of the models m1 to mN, which answer x * 1 to x * N."""

    def started(count: int, *more: str, room: int | None = 1, **options: object) -> Managed:
        words = [word(tmp_path, f"m{n}", n) for n in range(1, count + 1)]
        return manage(*words, *more, max_loaded_models=room, executor="thread", **options)

    return started


@pytest.fixture
def echo(serve: Serve) -> Running:
    """A server whose model `echo` takes FP32 [-1, 2]."""
    return serve(echo=Echo(DataType.FP32, (2,)))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder of models: `two` (x * 2) and `three` (x * 3) in version 1."""
    put(tmp_path / "two/1/model.onnx", times(2))
    put(tmp_path / "three/1/model.onnx", times(3))
    return tmp_path
