"""What one worker tells the others, and hears from them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from team import Team

from foretell.errors import ModelNotFound, NotReady, Overloaded
from foretell.workers.messages import MOST_BYTES
from foretell.workers.siblings import Replies, Siblings

LONG_S = 20.0


@pytest.fixture
async def team() -> AsyncIterator[Team]:
    made = Team()
    yield made
    await made.close()


async def doubled(payload: Any) -> Any:
    return payload * 2


async def never(payload: Any) -> Any:
    await asyncio.Event().wait()


async def three(team: Team, **handlers: Any) -> list[Siblings]:
    """Workers 0, 1 and 2, which all have these handlers."""
    workers = [await team.add(worker) for worker in range(3)]
    for each in workers:
        for name, handler in handlers.items():
            each.on(name, handler)
    for each in workers:
        assert await each.ready([])
    return workers


async def test_a_message_reaches_all_others_and_their_replies_come_back(team: Team) -> None:
    first, second, _ = await three(team, double=doubled)
    assert await first.ask("double", 4, limit_s=LONG_S) == Replies({1: 8, 2: 8}, {}, ())
    assert await second.ask("double", "ö", limit_s=LONG_S) == Replies({0: "öö", 2: "öö"}, {}, ())


async def test_many_at_a_time_are_not_mixed_up(team: Team) -> None:
    workers = await three(team, double=doubled)
    asked = [workers[number % 3].ask("double", number, limit_s=LONG_S) for number in range(300)]
    for number, told in enumerate(await asyncio.gather(*asked)):
        assert list(told.replies.values()) == [number * 2] * 2


async def test_who_does_not_answer_in_time_is_missing(team: Team) -> None:
    first, _, third = await three(team, ask=doubled)
    third.on("ask", never)
    assert await first.ask("ask", 1, limit_s=0.05) == Replies({1: 2}, {}, (2,))


async def test_who_dies_meanwhile_is_missing_at_once(team: Team) -> None:
    first, _, third = await three(team, ask=doubled)
    reached = asyncio.Event()

    async def reach(payload: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    third.on("ask", reach)
    asked = asyncio.create_task(first.ask("ask", 1, limit_s=LONG_S))
    await reached.wait()
    await team.dies(2)
    assert await asked == Replies({1: 2}, {}, (2,))
    assert await first.ask("ask", 1, limit_s=LONG_S) == Replies({1: 2}, {}, ())


async def test_an_error_is_told_as_its_sentence_and_a_mistake_as_nothing_internal(team: Team) -> None:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context["exception"]))
    first, second, third = await three(team)

    async def lacks(payload: Any) -> None:
        raise ModelNotFound("there is no such model", got=payload)

    async def breaks(payload: Any) -> None:
        raise KeyError("secret")

    second.on("load", lacks)
    third.on("load", breaks)
    told = await first.ask("load", "m", limit_s=LONG_S)
    assert told == Replies({}, {1: "there is no such model; got m", 2: "internal error"}, ())
    assert [type(problem) for problem in problems] == [KeyError]


async def test_a_message_that_nobody_knows_is_an_error(team: Team) -> None:
    first, *_ = await three(team)
    told = await first.ask("relaod", limit_s=LONG_S)
    assert told.errors == dict.fromkeys((1, 2), "this worker knows nothing of 'relaod'")


async def test_one_alone_has_nobody_to_ask(team: Team) -> None:
    first = await team.serving(0)
    assert await first.ask("double", 1, limit_s=LONG_S) == Replies({}, {}, ())


async def test_what_is_kept_reaches_those_who_come_later_before_they_serve(team: Team) -> None:
    first = await team.serving(0)
    for name, payload, key in (("load", "a@1", "a"), ("load", "b@1", "b"), ("drop", "a", "a"), ("load", "c", "c")):
        await first.ask(name, payload, limit_s=LONG_S, keep=key)
    await first.ask("load", "not for later", limit_s=LONG_S)
    heard = []

    async def hear(payload: Any) -> None:
        heard.append(payload)

    second = await team.add(1)
    second.on("load", hear)
    second.on("drop", hear)
    assert await second.ready([])
    assert heard == ["b@1", "a", "c"]


async def test_a_worker_that_still_loads_is_not_asked(team: Team) -> None:
    first = await team.serving(0)
    second = await team.add(1)
    second.on("double", doubled)
    assert await first.ask("double", 1, limit_s=LONG_S) == Replies({}, {}, ())
    assert await second.ready([])
    assert await first.ask("double", 1, limit_s=LONG_S) == Replies({1: 2}, {}, ())


async def test_the_supervisor_answers_what_is_its_own(team: Team) -> None:
    async def refuses(payload: Any) -> None:
        raise NotReady("not now")

    team.hub.serve("sum", doubled)
    team.hub.serve("refuse", refuses)
    first, *_ = await three(team)
    assert await first.ask_supervisor("sum", 21, limit_s=LONG_S) == 42
    with pytest.raises(NotReady, match="not now"):
        await first.ask_supervisor("refuse", limit_s=LONG_S)


async def test_what_is_too_long_is_refused_on_its_side_of_the_line(team: Team) -> None:
    async def too_long(payload: Any) -> str:
        return "x" * MOST_BYTES

    first, second, _ = await three(team, double=doubled)
    second.on("double", too_long)
    with pytest.raises(Overloaded, match="too much to tell"):
        await first.ask("double", "x" * MOST_BYTES, limit_s=LONG_S)
    told = await first.ask("double", "x", limit_s=LONG_S)
    assert told == Replies({2: "xx"}, {1: "the reply is too long"}, ())


async def test_questions_are_bounded(team: Team) -> None:
    first, *_ = await three(team, never=never)
    asked = [asyncio.create_task(first.ask("never", limit_s=LONG_S)) for _ in range(256)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="too many questions"):
        await first.ask("never", limit_s=LONG_S)
    for each in asked:
        each.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_a_supervisor_that_is_gone_is_seen(team: Team) -> None:
    first, second, _ = await three(team)
    reached = asyncio.Event()

    async def reach(payload: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    second.on("double", reach)
    asked = asyncio.create_task(first.ask("double", 1, limit_s=LONG_S))
    await reached.wait()
    team.members[0].line.close()
    with pytest.raises(NotReady, match="supervisor"):
        await asked
    await first.left_alone()
    async with asyncio.timeout(LONG_S):
        with pytest.raises(NotReady, match="supervisor"):
            await first.ask("double", 1, limit_s=10 * LONG_S)


async def test_a_supervisor_that_says_nothing_is_not_waited_for_longer_than_asked(team: Team) -> None:
    first, *_ = await three(team, double=doubled)
    silent = team.members.pop(0)
    silent.heard.cancel()
    async with asyncio.timeout(LONG_S):
        with pytest.raises(NotReady, match="supervisor"):
            await first.ask("double", 1, limit_s=0.01)
    silent.line.close()
    await first.close()


async def test_who_waits_to_serve_sees_it_too(team: Team) -> None:
    first = await team.add(0)
    team.members[0].heard.cancel()
    team.members[0].line.close()
    assert not await first.ready([])
    del team.members[0]
    await first.close()
