"""Hundreds of thousands of requests with poison, cancellations and deadlines among them: no answer mixed up or lost."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter

import numpy as np
import psutil
import pytest

from foretell.clock import SystemClock
from foretell.columns import Batch, Dense
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.errors import DeadlineExceeded, ModelError, TransientError
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

_CLIENTS = 64
_REQUESTS_OF_A_CLIENT = 4000
_POISON = -1.0
_MOST_GROWTH_BYTES = 24 * 2**20


class Doubler(Model):
    """Doubles; raises for the whole batch on a poisoned row, and now and then an error that passes."""

    spec = ModelSpec(inputs=(TensorSpec("x", DataType.FP64, (2,)),), outputs=(TensorSpec("y", DataType.FP64, (2,)),))
    native = True

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        self.calls += 1
        if self.calls % 997 == 0:
            raise TransientError("a passing failure")
        x = batch.dense("x")
        if (x == _POISON).any():
            raise ValueError("poison")
        return batch.with_columns({"y": Dense(x * 2)})


class Clients:
    """Callers that check each answer as it comes. Only one poisoned request is under way at a time."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.rng, self.ends = engine, random.Random(seed), Counter[str]()
        self.next_value, self.poisoned = 0, False

    async def run(self, requests: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(_CLIENTS):
                group.create_task(self._client(requests))

    async def _client(self, requests: int) -> None:
        for _ in range(requests):
            kind = self.rng.random()
            if kind < 0.02 and not self.poisoned:
                await self._poisoned()
            elif kind < 0.10:
                await self._cancelled()
            else:
                await self._answered(expires=kind < 0.15)

    def _rows(self) -> Batch:
        rows = self.rng.randint(1, 4)
        self.next_value += 2 * rows
        return Batch.of(x=np.arange(self.next_value - 2 * rows, self.next_value, dtype=np.float64).reshape(rows, 2))

    async def _answered(self, expires: bool) -> None:
        batch, clock = self._rows(), SystemClock()
        deadline = clock.monotonic() + self.rng.random() * 2e-3 if expires else None
        try:
            answer = await self.engine.infer(batch, Context(deadline=deadline))
        except DeadlineExceeded:
            assert expires
            self.ends["expired"] += 1
            return
        assert list(answer.columns) == ["y"]
        np.testing.assert_array_equal(answer.dense("y"), batch.dense("x") * 2)
        self.ends["answered"] += 1

    async def _cancelled(self) -> None:
        task = asyncio.create_task(self.engine.infer(self._rows()))
        for _ in range(self.rng.randint(0, 3)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.ends["cancelled"] += 1

    async def _poisoned(self) -> None:
        self.poisoned = True
        batch = self._rows()
        batch.dense("x")[-1] = _POISON
        with pytest.raises(ModelError, match="poison"):
            await self.engine.infer(batch)
        self.poisoned = False
        self.ends["poisoned"] += 1


def memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def _change(engine: Engine) -> None:
    while True:
        await asyncio.sleep(0.003)
        for batcher in engine.batchers:
            batcher.pace.groups = batcher.pace.groups % 4 + 1


@pytest.mark.soak
@pytest.mark.parametrize(("executor", "changes"), [("inline", False), ("thread", False), ("thread", True)])
async def test_every_request_ends_once_and_as_it_should(executor: str, changes: bool) -> None:
    """`changes`: callers wait for each other, or take turns, and again and again it is the other one."""
    settings = ModelSettings(executor=executor, max_batch_size=64, retry_delay_s=0.0)  # type: ignore[arg-type]
    engine = Engine(Doubler(), settings).load()
    clients = Clients(engine, seed=20)
    changing = asyncio.create_task(_change(engine)) if changes else None
    await clients.run(_REQUESTS_OF_A_CLIENT // 4)
    early = memory()
    await clients.run(_REQUESTS_OF_A_CLIENT - _REQUESTS_OF_A_CLIENT // 4)
    await engine.drain()
    if changing is not None:
        changing.cancel()

    assert sum(clients.ends.values()) == _CLIENTS * _REQUESTS_OF_A_CLIENT
    assert min(clients.ends[end] for end in ("answered", "expired", "cancelled", "poisoned")) > 0
    assert engine.waiting_rows == 0
    assert memory() - early < _MOST_GROWTH_BYTES
    for _ in range(100):
        await clients._answered(expires=False)
    engine.close()
