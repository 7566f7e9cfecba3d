"""Models whose every call waits for a step of the test, and an engine of them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from engine_models import WAIT_S, Doubler, answers, rows

from foretell.clock import ManualClock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.model import Context

CALL_S = 0.002


class Stepped(Doubler):
    """Each of its calls waits for a step of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.begun = threading.Semaphore(0), threading.Semaphore(0)

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        self.begun.release()
        assert self.steps.acquire(timeout=WAIT_S)
        return super().answer(batch, ctx)


class Served:
    """An engine of such models, which take two rows at a time, and what was asked of it."""

    def __init__(self, call_s: float = CALL_S, **settings: Any) -> None:
        self.models: list[Stepped] = []
        self.one_more = threading.Condition()
        self.clock = ManualClock()

        def made() -> Stepped:
            with self.one_more:
                self.models.append(Stepped())
                self.one_more.notify_all()
                return self.models[-1]

        chosen = ModelSettings(**{"executor": "thread", "max_batch_size": 2, "retries": 0, **settings})
        self.engine = Engine(made(), chosen, again=made, clock=self.clock).load()
        self.engine.profile.learn(2, call_s)

    async def ask(self, *values: float) -> list[asyncio.Task[Batch]]:
        """One request for each value; they are where they belong when it returns."""
        asked = [asyncio.create_task(self.engine.infer(rows(value))) for value in values]
        await self.turns()
        return asked

    async def turns(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    async def begun(self, model: int = 0) -> None:
        """A call of that model has begun, which a replica in another's place may still have to make on its thread."""

        def wait() -> bool:
            with self.one_more:
                made = self.one_more.wait_for(lambda: len(self.models) > model, WAIT_S)
            return made and self.models[model].begun.acquire(timeout=WAIT_S)

        assert await asyncio.to_thread(wait)


async def answered(*asked: asyncio.Task[Batch]) -> list[float]:
    return [answers(await one)[0] for one in asked]
