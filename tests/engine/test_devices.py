"""Replicas on several devices: even, each with its own, and shown. No device is needed to see that."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_models import WAIT_S, Doubler, answers, rows
from hypothesis import given
from hypothesis import strategies as st
from streaming_models import Streaming

from foretell.clock import SystemClock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.decisions import decisions
from foretell.engine.devices import device_of_next, idlest
from foretell.engine.engine import Engine
from foretell.engine.member import Member
from foretell.engine.replica import Replica
from foretell.errors import InvalidSetting, ReplicaLost, Unavailable
from foretell.model import Context, Model

TWO = "gpu:0,gpu:1"


class OnDevice(Doubler):
    """Remembers where it was loaded and what its calls were told. Waits in calls of 7; is lost in those of 13."""

    apart = True

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.loaded = ""
        self.told: set[str] = set()
        self.gate, self.started = threading.Event(), threading.Event()

    def load(self, device: str) -> None:
        self.loaded = device

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        self.told.add(ctx.device)
        if 7 in batch.dense("x"):
            self.started.set()
            assert self.gate.wait(WAIT_S)
        if 13 in batch.dense("x"):
            raise ReplicaLost("its process ended with signal 9")
        return super().answer(batch, ctx)


class Made:
    def __init__(self, kind: Callable[[], Model] = OnDevice) -> None:
        self.kind, self.models = kind, list[Any]()

    def __call__(self) -> Model:
        made = self.kind()
        self.models.append(made)
        return made


def engine_of(made: Made, device: str = TWO, **settings: Any) -> Engine:
    return Engine(made(), ModelSettings(**{"executor": "thread", "device": device, **settings}), again=made).load()


async def until(holds: Callable[[], object]) -> None:
    """Waits for what other threads do."""
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.001)


def shown(engine: Engine) -> dict[str, int]:
    by_device: dict[str, int] = decisions(engine)["replicas"]["by_device"]
    return by_device


async def test_each_device_has_its_replicas_and_each_replica_knows_its_own() -> None:
    made = Made()
    engine = engine_of(made, replicas=2, max_batch_size=1)
    assert made.models[0].loaded == "gpu:0"
    await until(lambda: len(engine.pool.members) == 4)
    assert shown(engine) == {"gpu:0": 2, "gpu:1": 2}
    asked = [asyncio.create_task(engine.infer(rows(7))) for _ in range(4)]
    await until(lambda: all(model.started.is_set() for model in made.models))
    for model in made.models:
        model.gate.set()
    assert [answers(await one) for one in asked] == [[14]] * 4
    assert Counter(model.loaded for model in made.models) == {"gpu:0": 2, "gpu:1": 2}
    assert [model.told for model in made.models] == [{model.loaded} for model in made.models]
    replicas = decisions(engine)["replicas"]
    assert (replicas["least"], replicas["most"], replicas["wanted"]) == (4, 4, 4)
    engine.close()


async def test_a_replica_that_is_lost_comes_back_on_its_device() -> None:
    made = Made()
    engine = engine_of(made, max_batch_size=1)
    await until(lambda: len(engine.pool.members) == 2)
    keeps = asyncio.create_task(engine.infer(rows(7)))
    await until(lambda: any(model.started.is_set() for model in made.models))
    (other,) = [model for model in made.models if not model.started.is_set()]
    with pytest.raises(ReplicaLost):
        await engine.infer(rows(13))
    await until(lambda: len(engine.pool.members) == 2)
    assert made.models[2].loaded == other.loaded
    assert shown(engine) == {"gpu:0": 1, "gpu:1": 1}
    for model in made.models:
        model.gate.set()
    assert answers(await keeps) == [14]
    engine.close()


def test_callers_that_wait_are_told_the_device_too() -> None:
    made = Made()
    engine = engine_of(made, device="gpu:1", timeout_s=WAIT_S)
    assert answers(engine.run(rows(1))) == [2]
    assert answers(engine.finish(engine.prepare(rows(1)))) == [2]
    assert made.models[0].told == {"gpu:1"}
    engine.close()


def test_a_stream_is_told_the_device_it_runs_on() -> None:
    from foretell.engine.stream_call import StreamCall

    told: list[str] = []

    class Tells(Streaming):
        def load(self, device: str) -> None:
            """It knows of devices."""

        def pieces(self, x: float, ctx: Context) -> Iterator[float]:
            told.append(ctx.device)
            return iter(())

    made = Made(Tells)
    engine = engine_of(made, device="gpu:1")
    assert engine.streams is not None
    call: StreamCall[Batch] = StreamCall(Batch.of(x=[[1.0]]), Context(), lambda piece: piece, SystemClock())
    engine.streams.begin(call)
    assert call.wait() is None
    assert told == ["gpu:1"]
    engine.close()


def test_native_models_on_several_devices_do_not_run_on_the_loop() -> None:
    class Native(OnDevice):
        native, apart = True, False

    for device, inline in (("gpu:0", True), (TWO, False)):
        engine = engine_of(Made(Native), device=device, executor="auto")
        assert engine.placement.inline is inline
        engine.close()


@pytest.mark.parametrize(
    ("model", "again", "error", "sentence"),
    [
        (OnDevice(), False, InvalidSetting, "a device beside the first needs a model that can be opened again"),
        (OnDevice(stateful=True), True, InvalidSetting, "a device beside the first: a stateful model has one replica"),
        (Doubler(), True, Unavailable, "the model knows of no devices; expected cpu, got gpu:0, gpu:1"),
    ],
)
def test_a_model_that_cannot_have_several_is_refused(
    model: Model, again: bool, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Engine(model, ModelSettings(device=TWO), again=OnDevice if again else None).load()


def member(number: int, device: str, outstanding: int = 0, generation: int = 0) -> Member:
    replica = Replica(Doubler(), ModelSettings(), SystemClock(), "")
    made = Member(number, replica, "m", generation, device)
    made.outstanding = outstanding
    return made


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=30))
def test_devices_stay_even_however_replicas_come_and_go(devices: int, steps: list[tuple[bool, int]]) -> None:
    names = [f"gpu:{number}" for number in range(devices)]
    members: list[Member] = []
    for number, (comes, outstanding) in enumerate(steps):
        if comes or not members:
            members.append(member(number, device_of_next(names, members, 0), outstanding))
        else:
            members.remove(idlest(members))
        counts = Counter(each.device for each in members)
        assert max(counts.values(), default=0) - min(counts[name] for name in names) <= 1


def test_of_a_device_the_idlest_leaves_first_and_of_those_the_youngest() -> None:
    members = [member(1, "a", 2), member(2, "a", 1), member(3, "a", 1), member(4, "b", 0)]
    assert idlest(members).number == 3


def test_those_of_a_generation_that_goes_do_not_count() -> None:
    assert device_of_next(["a", "b"], [member(1, "a"), member(2, "b", generation=1)], 1) == "a"
