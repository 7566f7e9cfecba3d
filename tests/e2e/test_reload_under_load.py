"""A model is replaced again and again under load: nothing fails, nothing is mixed up, nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from program import Server
from reloading import Process, Reloading
from repositories import put, times
from wire import Wire, http

_CLIENTS = 8
_RELOADS = 25
_ANSWERS_PER_RELOAD = 40
_LOADS_FIRST = 5
_THREADS_OF_REPLICAS = 2
"""They begin with the first call."""


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--cache-size", 64),
        ("--executor", "thread", "--max-batch-size", 4),
        ("--executor", "thread", "--replicas", 2),
    ],
    ids=["inline", "cache", "thread", "replicas"],
)
def test_nothing_fails_and_nothing_is_mixed_up(
    serve: Callable[..., Server], folder: Path, flags: tuple[object, ...]
) -> None:
    file = put(folder / "repo/m/1/model.onnx", times(1))
    server = serve("repo", *flags)
    process, reloading = Process(server), Reloading(server, file, _CLIENTS)
    for _ in range(_LOADS_FIRST):
        reloading.reload(0)
    before = process.settled()
    with reloading.traffic():
        for _ in range(_RELOADS):
            reloading.reload(_ANSWERS_PER_RELOAD)
    assert reloading.answers > _RELOADS * _ANSWERS_PER_RELOAD
    threads, files = process.settled()
    assert threads <= before[0] + _THREADS_OF_REPLICAS
    assert files <= before[1]
    with Wire(server.port) as wire:
        assert wire.send(http("GET", "/v2/models/m")).answer().json["versions"] == ["1"]
    assert process.metric('model_loads_total{outcome="reloaded"}') == _RELOADS + _LOADS_FIRST
    assert process.metric('requests_total{model="m",version="1",outcome="ok"}') == reloading.answers
    assert process.metric("queue_rows") == 0
    server.stop()
    assert server.end() == 0
