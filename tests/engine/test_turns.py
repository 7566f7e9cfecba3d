"""Groups of callers that take turns: a batch that is lined up on a thread takes in who comes, until its turn."""

from __future__ import annotations

import asyncio

import pytest
from engine_models import rows
from stepped_models import CALL_S, Served, answered

from foretell.columns import Batch
from foretell.engine.awaited import AwaitedWork
from foretell.engine.decisions import decisions
from foretell.errors import InvalidInput, ReplicaLost
from foretell.model import Context

Asked = asyncio.Task[Batch]


async def taking_turns(
    *values: float, groups: int = 2, call_s: float = CALL_S, **settings: int | float
) -> tuple[Served, list[Asked]]:
    """A model that has the first of `values`, and the others waiting for their turns."""
    served = Served(call_s, **{"max_batch_size": 8, **settings})
    served.models[0].steps.release()
    await answered(*await served.ask(0))
    await served.begun()
    served.models[0].calls.clear()
    served.engine.batchers[0].pace.groups = groups
    asked = await served.ask(values[0])
    await served.begun()
    return served, asked + await served.ask(*values[1:])


async def test_who_comes_joins_the_batch_that_is_next() -> None:
    served, asked = await taking_turns(1, 2)
    (member,) = served.engine.pool.members
    assert (member.outstanding, member.thread.waiting, served.engine.waiting_rows) == (2, 1, 0)
    asked += await served.ask(3)
    asked += await served.ask(4)
    assert (member.outstanding, member.thread.waiting) == (2, 1)
    served.models[0].steps.release(9)
    assert await answered(*asked) == [2, 4, 6, 8]
    assert served.models[0].calls[:2] == [1, 2]
    assert decisions(served.engine)["caller_groups"] == 2
    served.engine.close()


async def test_half_of_those_who_are_there_have_the_next_call() -> None:
    served, asked = await taking_turns(*range(9))
    assert served.engine.waiting_rows == 3  # of nine, five are next
    served.models[0].steps.release(9)
    assert await answered(*asked) == [2 * value for value in range(9)]
    assert max(served.models[0].calls) <= 5
    await served.engine.batchers[0].drain()
    assert served.engine.pool.members[0].outstanding == 0
    served.engine.close()


async def test_a_batch_that_has_begun_is_joined_by_nobody() -> None:
    served, asked = await taking_turns(1, 2)
    served.models[0].steps.release()
    await served.begun()  # the second call
    asked += await served.ask(3, 4)
    served.models[0].steps.release(9)
    assert await answered(*asked) == [2, 4, 6, 8]
    assert served.models[0].calls[:2] == [1, 1]
    served.engine.close()


async def test_a_value_that_has_no_place_fails_alone() -> None:
    """Only the thread that takes the batch finds it, when others have joined."""
    served, asked = await taking_turns(1, 2)
    batcher = served.engine.batchers[0]
    (first,) = [work for run in batcher._busy.lined_up for work in run.works]
    bad = AwaitedWork(rows(0), first.group, None)
    bad.parts = [["no number"]]
    batcher.submit(bad)
    asked += await served.ask(3)
    served.models[0].steps.release(9)
    with pytest.raises(InvalidInput):
        await bad.future
    assert await answered(*asked) == [2, 4, 6]
    served.engine.close()


async def test_behind_a_call_that_hangs_it_goes_to_the_replica_in_its_place() -> None:
    served, asked = await taking_turns(1, 2, call_timeout_s=1.0)
    asked += await served.ask(3)
    served.clock.advance(1.5)
    with pytest.raises(ReplicaLost, match=r"took longer than 1 s"):
        await asked[0]
    await served.begun(1)
    served.models[1].steps.release(9)
    assert await answered(*asked[1:]) == [4, 6]
    served.models[0].steps.release()
    served.engine.close()


async def test_who_has_left_does_not_join() -> None:
    served, asked = await taking_turns(1, *range(2, 9))
    waits = served.engine.waiting_rows
    assert waits
    for one in asked[-waits:]:
        one.cancel()
    served.models[0].steps.release(9)
    assert await answered(*asked[:-waits]) == [2 * value for value in range(1, 9 - waits)]
    await served.engine.batchers[0].drain()
    assert served.models[0].seen == [float(value) for value in range(9 - waits)]
    served.engine.close()


async def test_requests_of_other_parameters_wait_for_their_own_call() -> None:
    served, asked = await taking_turns(1, 2)
    other = asyncio.create_task(served.engine.infer(rows(5), Context(params={"scale": 1})))
    await served.turns()
    asked += await served.ask(3)  # behind it, since it has waited longer
    assert served.engine.waiting_rows == 2
    served.models[0].steps.release(9)
    assert await answered(*asked, other) == [2, 4, 6, 10]
    served.engine.close()


async def test_who_leaves_a_batch_before_its_turn_never_reaches_the_model() -> None:
    served, asked = await taking_turns(1, 2)
    asked += await served.ask(3)
    asked[1].cancel()
    await served.turns()
    served.models[0].steps.release(9)
    assert await answered(asked[0], asked[2]) == [2, 6]
    await served.engine.batchers[0].drain()
    assert served.models[0].seen == [0, 1, 3]
    served.engine.close()


async def test_a_batch_that_everybody_has_left_is_not_called() -> None:
    served, asked = await taking_turns(1, 2)
    asked += await served.ask(3)
    asked[1].cancel()
    asked[2].cancel()
    await served.turns()
    served.models[0].steps.release(9)
    assert await answered(asked[0]) == [2]
    await served.engine.batchers[0].drain()
    assert await answered(*await served.ask(4)) == [8]
    assert served.models[0].seen == [0, 1, 4]
    assert served.engine.pool.members[0].outstanding == 0
    served.engine.close()


@pytest.mark.parametrize(("groups", "lined_up"), [(1, 0), (2, 1), (4, 1)])
async def test_behind_long_calls_of_the_only_replica_a_batch_is_lined_up_where_callers_take_turns(
    groups: int, lined_up: int
) -> None:
    served, asked = await taking_turns(*range(8), groups=groups, call_s=0.5)
    assert served.engine.pool.members[0].thread.waiting == lined_up
    served.models[0].steps.release(9)
    assert await answered(*asked) == [2 * value for value in range(8)]
    if groups > 1:
        assert max(served.models[0].calls) <= 8 // groups
    served.engine.close()
