"""Closing and draining, from any thread and at any moment: what runs is finished, what waits is told."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from typing import Any

import pytest
from engine_models import WAIT_S, Doubler, Gated, InlineDoubler, answers, engine_of, rows

from foretell.columns import Batch
from foretell.engine.engine import Engine
from foretell.errors import NotReady

EXECUTORS = pytest.mark.parametrize("executor", ["inline", "thread"])


async def started(model: Gated) -> None:
    assert await asyncio.to_thread(model.started.wait, WAIT_S)


@pytest.mark.parametrize("from_loop", [True, False])
async def test_closing_finishes_what_runs_and_ends_what_waits(from_loop: bool) -> None:
    model = Gated()
    engine = engine_of(model)
    running = asyncio.create_task(engine.infer(rows(1)))
    await started(model)
    waiting = [asyncio.create_task(engine.infer(rows(n))) for n in (2, 3)]
    await asyncio.sleep(0)
    if from_loop:
        threading.Timer(0.01, model.gate.set).start()
        engine.close()
    else:
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        got = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), WAIT_S)
        model.gate.set()
        await closing
    got = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), WAIT_S)
    assert all(isinstance(end, NotReady) and end.retryable for end in got)
    assert answers(await running) == [2]
    assert model.closed == 1 and model.seen == [1]


@EXECUTORS
def test_closing_from_another_thread_at_any_moment_leaves_nobody_waiting(executor: str) -> None:
    for seed in range(30):
        engine = engine_of(InlineDoubler(), executor=executor, warm_up=False)

        async def ask(engine: Engine = engine, seed: int = seed) -> Counter[str]:
            rng, ends = random.Random(seed), Counter[str]()

            async def client() -> None:
                for n in range(50):
                    try:
                        assert answers(await engine.infer(rows(n))) == [2 * n]
                        ends["answer"] += 1
                    except NotReady:
                        ends["not ready"] += 1
                    for _ in range(rng.randint(0, 2)):
                        await asyncio.sleep(0)

            clients = [asyncio.create_task(client()) for _ in range(8)]
            for _ in range(rng.randint(0, 60)):
                await asyncio.sleep(0)
            closing = asyncio.create_task(asyncio.to_thread(engine.close))
            await asyncio.wait_for(asyncio.gather(*clients, closing), WAIT_S)
            return ends

        assert sum(asyncio.run(ask()).values()) == 400
        assert engine.model.closed == 1  # type: ignore[attr-defined]


def test_requests_left_on_a_loop_that_stands_still_end_when_it_goes_on(runner: asyncio.Runner) -> None:
    engine = engine_of(InlineDoubler(), warm_up=False)

    async def leave() -> asyncio.Task[Batch]:
        task = asyncio.create_task(engine.infer(rows(1)))
        await asyncio.sleep(0)  # it is in the queue; nothing has taken it yet
        return task

    async def come_back(task: asyncio.Task[Batch]) -> Any:
        return (await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), WAIT_S))[0]

    task = runner.run(leave())
    engine.close()
    end = runner.run(come_back(task))
    assert isinstance(end, NotReady) or answers(end) == [2]


async def test_draining_waits_for_every_request_and_for_everybody_who_drains() -> None:
    model = Gated()
    engine = engine_of(model)
    asked = [asyncio.create_task(engine.infer(rows(n))) for n in range(5)]
    await started(model)
    drains = [asyncio.create_task(engine.drain()) for _ in range(3)]
    impatient = asyncio.create_task(engine.drain())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    assert not any(drain.done() for drain in drains)
    model.gate.set()
    await asyncio.wait_for(asyncio.gather(*drains), WAIT_S)
    assert [answers(batch) for batch in await asyncio.gather(*asked)] == [[2 * n] for n in range(5)]
    await asyncio.wait_for(engine.drain(), WAIT_S)
    engine.close()


async def test_draining_an_engine_that_nobody_asked_is_no_wait() -> None:
    engine = engine_of(Doubler())
    await asyncio.wait_for(engine.drain(), WAIT_S)
    engine.close()
    await asyncio.wait_for(engine.drain(), WAIT_S)
