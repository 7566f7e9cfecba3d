"""Calls that an event loop begins in a process and does not wait for."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import uvloop
from engine_models import answers, rows
from remote_calls import WAIT_S, loaded, remote

from foretell.columns import Batch
from foretell.errors import ModelError, NotReady, ReplicaLost
from foretell.model import Context, Outcome
from foretell.remote.channel import Channel
from foretell.remote.model import RemoteModel
from foretell.remote.start import pair

LARGE = 10_000
"""So many numbers do not travel in a message."""


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def on_loop(test: Callable[[], Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(test(), WAIT_S))

    return on_loop


class Ends:
    """What came of calls, in the order in which they ended, each on the thread of its loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.ends: list[tuple[int, Outcome]] = []
        self.took: list[float] = []
        self._changed = asyncio.Event()

    def begin(self, model: RemoteModel, number: int, batch: Batch, ctx: Context | None = None) -> bool:
        def done(outcome: Outcome, took_s: float) -> None:
            assert threading.get_ident() == self.thread
            self.ends.append((number, outcome))
            self.took.append(took_s)
            self._changed.set()

        return model.begin(batch, ctx or Context(), done)

    async def wait(self, count: int) -> list[tuple[int, Any]]:
        """The first `count` of them, answers as lists."""
        while len(self.ends) < count:
            self._changed.clear()
            await self._changed.wait()
        return [(n, answers(end) if isinstance(end, Batch) else end) for n, end in self.ends]


def test_two_calls_are_begun_and_end_in_their_order(run: Callable[..., Any]) -> None:
    async def test() -> None:
        ends = Ends()
        for at in range(0, 20, 2):
            assert ends.begin(model, at, rows(at))
            assert ends.begin(model, at + 1, rows(at + 1))
            assert not ends.begin(model, 99, rows(99))  # two are as many as are needed
            assert (await ends.wait(at + 2))[at:] == [(at, [2 * at]), (at + 1, [2 * at + 2])]
        assert all(0 < took_s < WAIT_S for took_s in ends.took)

    with loaded("Doubler") as model:
        run(test)


def test_calls_of_threads_and_of_the_loop_itself_go_between(run: Callable[..., Any]) -> None:
    async def test() -> None:
        ends, stop = Ends(), threading.Event()

        def calls() -> int:
            count = 0
            while not stop.is_set():
                assert answers(model.predict(rows(1000 + count), Context())) == [2000 + 2 * count]
                count += 1
            return count

        threads = [asyncio.create_task(asyncio.to_thread(calls)) for _ in range(3)]
        begun = 0
        for number in range(3000):
            begun += ends.begin(model, number, rows(number))
            if number % 100 == 0:
                assert answers(model.predict(rows(number), Context())) == [2 * number]
            if number % 3 == 0:
                await asyncio.sleep(0)
        got = await ends.wait(begun)
        stop.set()
        assert min(await asyncio.gather(*threads)) > 0
        assert begun > 0
        assert got == [(number, [2 * number]) for number, _ in got]

    with loaded("Doubler") as model:
        run(test)


def test_a_thread_waits_for_its_answer_without_asking_again_and_again(run: Callable[..., Any]) -> None:
    async def test() -> None:
        ends = Ends()
        assert ends.begin(model, 1, rows(0))
        await ends.wait(1)
        link = model._link
        assert link is not None and os.get_blocking(link.channel.number)

    with loaded("Sleeps") as model:
        run(test)


def test_an_error_is_that_of_its_call() -> None:
    async def test() -> None:
        ends = Ends()
        assert ends.begin(model, 1, rows(-1)) and ends.begin(model, 2, rows(2))
        (_, error), last = await ends.wait(2)
        assert isinstance(error, ModelError) and "negative" in str(error)
        assert last == (2, [4])

    with loaded("Doubler") as model:
        asyncio.run(test())


def test_large_batches_and_answers_go_another_way() -> None:
    async def test() -> None:
        ends = Ends()
        assert not ends.begin(model, 0, Batch.of(x=np.zeros(LARGE)))
        assert ends.begin(model, 1, rows(1, LARGE)) and ends.begin(model, 2, rows(2, LARGE))
        first, second = (end for _, end in await ends.wait(2))
        assert first == [[1.0] * LARGE] * 2 and second == [[2.0] * LARGE] * 2
        assert not ends.begin(model, 3, rows(3, LARGE))  # so much is copied on a thread
        assert answers(model.predict(rows(3, 1), Context())) == [[3.0], [3.0]]
        assert ends.begin(model, 4, rows(4, 1))
        assert (await ends.wait(3))[2] == (4, [[4.0], [4.0]])

    with loaded("Grows") as model:
        asyncio.run(test())


@pytest.mark.parametrize("way", [2, 4, 5, 6, 9])
def test_a_process_that_ends_with_calls_begun(way: int, run: Callable[..., Any]) -> None:
    async def test() -> None:
        ends = Ends()
        assert ends.begin(model, 1, rows(1000 + way))
        second = ends.begin(model, 2, rows(2))  # False where it has ended by now
        (_, lost), *last = await ends.wait(1 + second)
        assert isinstance(lost, ReplicaLost)
        assert last == [(2, None)] * second  # so it can be made elsewhere
        assert not ends.begin(model, 3, rows(3))
        with pytest.raises(ReplicaLost):
            model.predict(rows(3), Context())

    with loaded("ending_models:Ends") as model:
        run(test)


def test_a_process_that_is_killed_between_calls(run: Callable[..., Any]) -> None:
    async def test() -> None:
        ends, told = Ends(), asyncio.Event()
        model.watch(lambda: ends.loop.call_soon_threadsafe(told.set))
        assert ends.begin(model, 1, rows(1))
        await ends.wait(1)
        assert model.pid is not None
        os.kill(model.pid, signal.SIGKILL)
        await told.wait()
        assert not ends.begin(model, 2, rows(2))

    with loaded("Doubler") as model:
        run(test)


def test_giving_up_ends_calls_that_hang(run: Callable[..., Any]) -> None:
    async def test() -> None:
        ends = Ends()
        assert ends.begin(model, 1, rows(WAIT_S)) and ends.begin(model, 2, rows(2))
        model.give_up()
        (_, lost), last = await ends.wait(2)
        assert isinstance(lost, ReplicaLost) and "took too long" in str(lost)
        assert last == (2, None)

    with loaded("Sleeps") as model:
        run(test)


def test_who_finds_the_process_lost_ends_what_was_begun_there(run: Callable[..., Any]) -> None:
    async def test() -> None:
        ends = Ends()
        assert ends.begin(model, 1, rows(WAIT_S)) and ends.begin(model, 2, rows(2))
        model.give_up()
        with pytest.raises(ReplicaLost):
            model.predict(rows(3), Context())  # on the loop itself, which cannot read meanwhile
        await asyncio.sleep(0)
        (_, lost), last = ends.ends
        assert isinstance(lost, ReplicaLost)
        assert last == (2, None)

    with loaded("Sleeps") as model:
        run(test)


def test_a_thread_with_a_limit_notices_that_a_call_before_its_own_hangs() -> None:
    async def test() -> None:
        ends = Ends()
        assert ends.begin(model, 1, rows(WAIT_S))
        with pytest.raises(ReplicaLost, match="took longer"):
            await asyncio.to_thread(model.predict, rows(0), Context())
        ((_, lost),) = await ends.wait(1)
        assert isinstance(lost, ReplicaLost)

    with loaded("Sleeps", call_timeout_s=0.3) as model:
        asyncio.run(test())


def test_a_call_that_nobody_waits_for_ends_and_the_one_behind_it_is_not_begun(tmp_path: Path) -> None:
    async def test() -> None:
        ends, began = Ends(), tmp_path / "began"
        assert ends.begin(model, 1, rows(1), Context({"path": str(began)}, cancelled=began.exists))
        assert ends.begin(model, 2, rows(2), Context(cancelled=lambda: True))
        (first, second) = await ends.wait(2)
        assert first == (1, [1.0])  # it was cancelled
        assert getattr(second[1], "code", None) == "cancelled"

    with loaded("Waits") as model:
        asyncio.run(test())


def test_the_deadline_goes_with_the_call() -> None:
    async def test() -> None:
        ends, clock = Ends(), model._clock
        assert ends.begin(model, 1, rows(0.2), Context(deadline=clock.monotonic() + WAIT_S))
        assert ends.begin(model, 2, rows(0), Context(deadline=clock.monotonic() + 0.1))
        first, second = await ends.wait(2)
        assert first == (1, [0.4])
        assert getattr(second[1], "code", None) == "deadline_exceeded"

    with loaded("Sleeps") as model:
        asyncio.run(test())


def test_closing_answers_what_was_begun(run: Callable[..., Any]) -> None:
    async def test() -> None:
        ends = Ends()
        assert ends.begin(model, 1, rows(0.05)) and ends.begin(model, 2, rows(0.01))
        model.close()  # on the loop itself, which cannot read meanwhile
        assert await ends.wait(2) == [(1, [0.1]), (2, [0.02])]
        assert not ends.begin(model, 3, rows(0))

    with loaded("Sleeps") as model:
        run(test)


def test_closing_ends_what_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        ends = Ends()
        assert ends.begin(model, 1, rows(WAIT_S)) and ends.begin(model, 2, rows(0))
        await asyncio.to_thread(model.close)
        (_, closed), last = await ends.wait(2)
        assert isinstance(closed, NotReady)
        assert last == (2, None)

    monkeypatch.setattr("foretell.remote.model._CLOSE_S", 0.2)
    with loaded("Sleeps") as model:
        asyncio.run(test())


def test_a_loop_that_listens_does_not_hold_the_model(run: Callable[..., Any]) -> None:
    async def test() -> None:
        model = remote("Doubler")
        model.load("cpu")
        pid, ends = model.pid, Ends()
        assert pid is not None
        child = psutil.Process(pid)
        assert ends.begin(model, 1, rows(1))
        await ends.wait(1)
        del model
        gc.collect()
        child.wait(WAIT_S)

    run(test)


def test_another_loop_begins_calls_once_the_first_is_closed(run: Callable[..., Any]) -> None:
    async def one() -> None:
        ends = Ends()
        assert ends.begin(model, 1, rows(1))
        assert await ends.wait(1) == [(1, [2])]

    async def unfinished() -> None:
        assert Ends().begin(model, 1, rows(1))

    async def other_thread() -> None:
        await one()
        assert not await asyncio.to_thread(asyncio.run, refused())

    async def refused() -> bool:
        return Ends().begin(model, 1, rows(1))

    with loaded("Doubler") as model:
        run(one)
        run(unfinished)  # its answer comes when nobody is there any more
        assert answers(model.predict(rows(3), Context())) == [6]
        run(one)
        run(other_thread)


def test_more_than_a_socket_takes_is_not_begun(tmp_path: Path) -> None:
    async def test() -> None:
        assert not Ends().begin(model, 1, rows(1), Context(params={"text": "x" * 100_000}))

    with loaded("Everything") as model:
        asyncio.run(test())


def test_messages_that_are_sent_unread_do_not_wait_for_the_reader() -> None:
    ends = pair()
    for end in ends:
        end.setblocking(False)  # what does not fit is then an error
        for size in (64, 64, 124):  # two calls of which none was read, and what else may be said meanwhile
            Channel(end).send(bytes(size * 2**10))
    for end in ends:
        end.close()
