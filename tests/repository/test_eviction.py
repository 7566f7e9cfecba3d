"""Who makes place for whom: decided from what is known of those in memory, and nothing else."""

from __future__ import annotations

import math
from typing import Any

from foretell.repository.eviction import Choice, Resident, choose


def resident(name: str, **known: Any) -> Resident:
    return Resident(**{"key": (name, "1"), "used": 0.0, "since": 0.0, "load_s": 0.1, "busy": False, **known})


def chosen(*residents: Resident, now: float = 100.0, one_leaves: bool = False) -> str | None:
    key = choose(residents, now, one_leaves=one_leaves).key
    return key[0] if key else None


def test_of_those_that_nobody_asks_the_one_asked_least_lately_leaves() -> None:
    assert chosen(resident("a", used=3), resident("b", used=1), resident("c", used=2)) == "b"
    assert chosen(resident("a", used=3), resident("b", used=1, busy=True), resident("c", used=2)) == "c"


def test_one_that_has_just_come_stays_for_as_long_as_it_was_loaded() -> None:
    new = resident("new", since=98, load_s=4, used=98)
    assert choose([new], 100, one_leaves=False) == Choice(None, 102)
    assert chosen(new, now=102) == "new"
    assert chosen(resident("slow", since=0, load_s=60), now=5) == "slow", "for 5 s at most"


def test_one_that_is_always_busy_leaves_after_a_while() -> None:
    busy = resident("busy", since=99.5, busy=True)
    assert choose([busy], 100, one_leaves=False) == Choice(None, 100.5)
    assert chosen(busy, now=100.5) == "busy"
    assert choose([resident("slow", load_s=60, busy=True)], 9, one_leaves=False) == Choice(None, 10)


def test_of_those_that_are_busy_the_one_there_longest_leaves_and_streams_last() -> None:
    streaming = resident("streaming", since=0, busy=True, streams=True)
    assert chosen(streaming, resident("late", since=20, busy=True), resident("early", since=10, busy=True)) == "early"
    assert chosen(streaming) == "streaming"


def test_a_second_busy_one_is_not_disturbed_while_the_first_still_leaves() -> None:
    busy = resident("busy", busy=True)
    assert choose([busy], 100, one_leaves=True) == Choice(None, math.inf)
    assert chosen(busy, resident("quiet"), one_leaves=True) == "quiet", "that is faster"


def test_with_nobody_there_is_nothing_to_choose() -> None:
    assert choose([], 100, one_leaves=False) == Choice(None, math.inf)
