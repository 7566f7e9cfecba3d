"""Folders of models that change while they are served, and servers that load from them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx_build
from onnx import helper
from serving import WAIT_S, LoopFactory, ResultT, Running
from wire import Answer, http, infer, values

from foretell.cli.loading import loader_of
from foretell.clock import Clock
from foretell.config import ServerSettings

SLOW_PY = """
from pathlib import Path

import numpy as np

from foretell.columns import Batch, Dense
from foretell.model import Model
from foretell.types import DataType, ModelSpec, TensorSpec


class Slow(Model):
    spec = ModelSpec(inputs=(TensorSpec("x", DataType.FP32, (1,)),), outputs=(TensorSpec("y", DataType.FP32, (1,)),))

    def load(self, device):
        pipe = Path(__file__).with_name("pipe")
        if pipe.exists():
            pipe.read_bytes()  # until somebody has written to it

    def predict(self, batch, ctx):
        return Batch({"y": Dense(batch.dense("x") * np.float32(FACTOR))}, batch.rows)
"""
"""A model whose loading takes as long as a test wants, where there is a pipe beside it."""


def slow(factor: float) -> bytes:
    return SLOW_PY.replace("FACTOR", str(factor)).encode()


Manage = Callable[..., "Managed"]


def times(factor: float, width: int = 1) -> bytes:
    """An ONNX file: y = x * factor, FP32 [rows, width]. So an answer tells which file it came from."""
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    shape = ("rows", width)
    model = onnx_build.build(
        [node],
        [onnx_build.value("x", shape)],
        [onnx_build.value("y", shape)],
        weights={"factor": np.float32([factor])},
    )
    return bytes(model.SerializeToString())


def put(place: Path, content: bytes) -> Path:
    """Writes a file as one should: beside, and then renamed into place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.part")
    beside.write_bytes(content)
    os.replace(beside, place)
    return place


class Managed(Running):
    """A server whose models can be loaded and unloaded. `said`: the lines for people."""

    def __init__(
        self,
        new_loop: LoopFactory,
        words: list[str],
        settings: ServerSettings,
        clock: Clock | None = None,
        **flags: Any,
    ) -> None:
        self.said: list[str] = []
        self.loader = loader_of(words, flags, lambda line, **_: self.said.append(line), settings, clock=clock)
        super().__init__(self.loader.catalog, settings, new_loop, loader=self.loader)

    def load(self, name: str) -> Answer:
        return self.ask(http("POST", f"/v2/repository/models/{name}/load"))

    def unload(self, name: str) -> Answer:
        return self.ask(http("POST", f"/v2/repository/models/{name}/unload"))

    def index(self, body: bytes = b"") -> list[dict[str, str]]:
        answer = self.ask(http("POST", "/v2/repository/index", body))
        assert answer.status == 200, answer
        index = answer.json
        assert isinstance(index, list)
        return index

    def predict(self, name: str, value: float) -> float:
        """The answer to one row of one number."""
        (answer,) = values(self.ask(infer(name, [value])))
        assert isinstance(answer, float)
        return answer

    def wait(self, call: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """What `call` gives, run on the server's loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(WAIT_S)

    def close(self) -> None:
        if self._thread.is_alive():
            self.on_loop(self.loader.close)
            self.wait(lambda: self.loader.ended(WAIT_S))
        super().close()


@contextmanager
def managing(new_loop: LoopFactory) -> Iterator[Manage]:
    """`start("word", ..., key=value)`: a running server that has loaded what the words mean, and loads it again."""
    running: list[Managed] = []

    def start(*words: object, **options: Any) -> Managed:
        known = {field.name for field in fields(ServerSettings)}
        limits = {name: options.pop(name) for name in list(options) if name in known}
        settings = ServerSettings(**{"http_port": 0, "drain_timeout_s": 5.0, **limits})
        running.append(Managed(new_loop, list(map(str, words)), settings, **options))
        return running[-1]

    yield start
    for one in running:
        one.close()
    problems = [one.problems for one in running]
    assert problems == [[] for _ in running], problems


class Later:
    """A call in a thread, for when its answer has to wait for something else."""

    def __init__(self, call: Callable[[], Answer]) -> None:
        self._answers: list[Answer] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(call()), daemon=True)
        self._thread.start()

    def answer(self) -> Answer:
        self._thread.join(20)
        (answer,) = self._answers
        return answer


def ready(name: str, version: str = "1") -> dict[str, str]:
    return {"name": name, "version": version, "state": "READY"}
