"""A thread that is about to be free has its next batch already, where a full one waits."""

from __future__ import annotations

import pytest
from stepped_models import CALL_S, Served, answered

from foretell.engine.profile import Profile
from foretell.errors import ReplicaLost


async def test_a_full_batch_is_there_before_the_call_before_it_has_ended() -> None:
    served = Served()
    asked = await served.ask(1, 2, 3, 4, 5)
    await served.begun()
    assert served.engine.waiting_rows == 1
    (member,) = served.engine.pool.members
    assert (member.outstanding, member.thread.waiting) == (2, 1)
    served.models[0].steps.release(3)
    assert await answered(*asked) == [2, 4, 6, 8, 10]
    assert served.models[0].calls == [2, 2, 1]
    await served.engine.batchers[0].drain()
    assert member.outstanding == 0
    served.engine.close()


async def test_the_next_one_leaves_before_the_answers_are_handed_out() -> None:
    served = Served()
    asked = await served.ask(1, 2, 3, 4, 5, 6)
    await served.begun()
    lined_up: list[int] = []
    asked[0].add_done_callback(lambda _: lined_up.append(served.engine.waiting_rows))
    served.models[0].steps.release(3)
    assert await answered(*asked) == [2, 4, 6, 8, 10, 12]
    assert lined_up == [0]
    served.engine.close()


@pytest.mark.parametrize(("call_s", "values"), [(1.0, (1, 2, 3, 4)), (CALL_S, (1, 2, 3))])
async def test_long_calls_and_batches_that_may_grow_wait(call_s: float, values: tuple[float, ...]) -> None:
    served = Served(call_s)
    asked = await served.ask(*values)
    await served.begun()
    assert served.engine.waiting_rows == len(values) - 2
    served.models[0].steps.release(2)
    assert await answered(*asked) == [2 * value for value in values]
    served.engine.close()


async def test_its_time_counts_from_its_own_begin() -> None:
    served = Served()
    asked = await served.ask(1, 2, 3, 4)
    await served.begun()
    served.clock.advance(5.0)
    served.models[0].steps.release()
    await served.begun()
    after_first = Profile()
    after_first.learn(2, CALL_S)
    after_first.learn(2, 5.0)
    served.clock.advance(1.0)
    served.models[0].steps.release()
    await answered(*asked)
    after_first.learn(2, 1.0)
    assert served.engine.profile.table() == after_first.table()
    served.engine.close()


async def test_behind_a_call_that_hangs_it_goes_to_the_replica_in_its_place() -> None:
    served = Served(call_timeout_s=1.0)
    asked = await served.ask(1, 2, 3, 4)
    await served.begun()
    assert served.engine.waiting_rows == 0
    served.clock.advance(1.5)
    for one in asked[:2]:
        with pytest.raises(ReplicaLost, match=r"took longer than 1 s"):
            await one
    await served.begun(1)
    served.models[1].steps.release()
    assert await answered(*asked[2:]) == [6, 8]
    assert served.models[0].calls == [2]
    served.models[0].steps.release()
    served.engine.close()


async def test_a_call_that_fails_does_not_touch_the_one_behind_it() -> None:
    served = Served()
    asked = await served.ask(1, -2, 3, 4)
    await served.begun()
    served.models[0].steps.release(9)
    with pytest.raises(Exception, match="negative"):
        await asked[1]
    assert await answered(asked[0], *asked[2:]) == [2, 6, 8]
    await served.engine.batchers[0].drain()
    assert served.engine.pool.members[0].outstanding == 0
    served.engine.close()


async def test_nobody_is_computed_for_once_all_of_a_batch_have_left() -> None:
    served = Served()
    asked = await served.ask(1, 2, 3, 4)
    await served.begun()
    for one in asked[2:]:
        one.cancel()
    await served.turns()
    served.models[0].steps.release()
    assert await answered(*asked[:2]) == [2, 4]
    await served.engine.batchers[0].drain()
    assert served.models[0].calls == [2]
    served.engine.close()


async def test_what_would_run_on_the_loop_waits_until_the_thread_is_free() -> None:
    served = Served()
    asked = await served.ask(1, 2)
    await served.begun()
    served.engine.placement.inline = True  # as where calls have become short
    asked += await served.ask(3, 4)
    assert served.engine.waiting_rows == 2
    served.models[0].steps.release(2)
    assert await answered(*asked) == [2, 4, 6, 8]
    served.engine.close()
