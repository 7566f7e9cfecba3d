"""The latency objective in an engine: who is refused, how large batches are, and what a restart knows of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from engine_models import Timed, engine_of, rows

from foretell.clock import ManualClock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.engine.profile_file import ProfileFile
from foretell.errors import Overloaded
from foretell.model import Context

SLO: dict[str, Any] = {"slo_ms": 50, "executor": "inline", "warm_up": False}


class PerRow(Timed):
    """Takes as much of the clock for each row."""

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        self.clock.advance(self.call_s * (batch.rows - 1))
        return super().answer(batch, ctx)


async def ask_at_once(engine: Engine, requests: int) -> list[Batch | BaseException]:
    """All are there before the first call begins."""
    calls = [engine.infer(rows(n)) for n in range(requests)]
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_what_would_be_late_is_refused_at_once_and_told_when_to_come_back() -> None:
    clock = ManualClock()
    engine = engine_of(Timed(clock, 0.02), clock, max_batch_size=4, **SLO)
    for requests in (1, 2, 4):
        await ask_at_once(engine, requests)
    ends = await ask_at_once(engine, 20)
    refused = [end for end in ends if isinstance(end, Overloaded)]
    assert [isinstance(end, Batch) for end in ends] == [True] * 8 + [False] * 12, "two calls of 20 ms are in time"
    assert len(refused) == 12
    assert all(each.retry_after_s is not None and each.retry_after_s > 0 for each in refused)
    engine.close()


async def test_batches_are_no_larger_than_half_of_the_objective_allows() -> None:
    clock = ManualClock()
    model = PerRow(clock, 0.01)
    engine = engine_of(model, clock, max_batch_size=16, **SLO)
    for _ in range(8):
        await ask_at_once(engine, 8)
    assert max(model.calls[-6:]) <= 3, "two rows take 20 ms of half of 45; a third is told from two only later"
    engine.close()


async def test_a_restart_knows_what_was_learned(tmp_path: Path) -> None:
    def opened(model: Timed, clock: ManualClock) -> Engine:
        settings = ModelSettings(max_batch_size=4, **SLO)
        profile_file = ProfileFile(tmp_path, "inline cpu")
        return Engine(model, settings, digest="sha256:0", clock=clock, profile_file=profile_file).load()

    clock = ManualClock()
    engine = opened(Timed(clock, 0.02), clock)
    for requests in (1, 2, 4):
        await ask_at_once(engine, requests)
    engine.close()
    again = opened(Timed(clock, 0.02), clock)
    ends = await ask_at_once(again, 20)
    assert sum(isinstance(end, Batch) for end in ends) == 8
    again.close()
