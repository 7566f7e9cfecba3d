"""The latency objective in an engine: who is refused, how large batches are, and what a restart knows of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from engine_models import WAIT_S, Timed, engine_of, rows

from foretell.clock import ManualClock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.engine.profile import Profile
from foretell.engine.profile_file import ProfileFile
from foretell.errors import Overloaded
from foretell.model import Context
from foretell.types import Identity

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


def opened(folder: Path, clock: ManualClock) -> Engine:
    """One with a profile on disk."""
    settings = ModelSettings(max_batch_size=4, **SLO)
    profile_file = ProfileFile(folder, "inline cpu")
    return Engine(Timed(clock, 0.02), settings, digest="sha256:0", clock=clock, profile_file=profile_file).load()


async def learn(engine: Engine) -> None:
    for requests in (1, 2, 4):
        await ask_at_once(engine, requests)


async def admitted(engine: Engine, requests: int) -> int:
    return sum(isinstance(end, Batch) for end in await ask_at_once(engine, requests))


def written(folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for file in folder.glob("*.json"):
        found = json.loads(file.read_bytes())["call_s"]
    return found


async def test_a_restart_knows_what_was_learned(tmp_path: Path) -> None:
    clock = ManualClock()
    engine = opened(tmp_path, clock)
    await learn(engine)
    engine.close()
    again = opened(tmp_path, clock)
    assert await admitted(again, 20) == 8
    again.close()


async def test_what_was_learned_is_known_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.engine.profile_file._LOOK_S", 0.001)
    clock = ManualClock()
    killed = opened(tmp_path, clock)
    await learn(killed)
    async with asyncio.timeout(WAIT_S):
        while "4" not in written(tmp_path):
            await asyncio.sleep(0.001)
            clock.advance(60)
    again = opened(tmp_path, clock)  # the other one was not closed
    assert await admitted(again, 20) == 8
    again.close()
    killed.close()


def test_a_profile_is_written_at_most_once_a_minute_and_only_when_it_has_changed(tmp_path: Path) -> None:
    clock, profile, identity = ManualClock(), Profile(), Identity("m", "1", "sha256:0", "sha256:0")
    file = ProfileFile(tmp_path, "inline cpu")
    file.follow(profile, identity, clock)

    def kept() -> dict[str, float]:
        """What a look leaves on disk where nothing was."""
        for old in tmp_path.glob("*.json"):
            old.unlink()
        file.look()
        return written(tmp_path)

    assert not kept()
    profile.learn(1, 0.5)
    assert kept() == {"1": 0.5}
    profile.learn(4, 0.5)
    clock.advance(59.9)
    assert not kept(), "within the minute"
    clock.advance(0.1)
    assert kept() == {"1": 0.5, "4": 0.5}
    clock.advance(1000)
    assert not kept(), "nothing new"
    profile.learn(1, 0.1)
    file.close()
    assert written(tmp_path)["1"] == 0.1
