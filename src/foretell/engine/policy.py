"""Decisions of the batcher and of the pool: pure functions of the queue, the learned profile and the settings."""

from __future__ import annotations

import math
from collections.abc import Iterable

from foretell.engine.profile import Profile

_PAUSE_SHARE = 0.05
_PAUSE_MOST_S = 0.0005
_STAY = 1.5  # hysteresis: an inline model leaves the loop only when it is this much over the limit
_APART_S = 0.001
_LINE_UP_S = 0.01
_EXPLORE = 2
_WORTH_SPLITTING = 0.8
_FREE_RIDE = 1.05
_BULK_SHARE = 0.02
_BULK_QUANTUM = 0.05
_BACKOFF_S = 0.1
_BACKOFF_MOST_S = 30.0
LIVED_S = 60.0
_GROW_AT, _SHRINK_AT = 0.8, 0.5


def take(rows: Iterable[int], max_rows: int) -> int:
    """How many requests from the head of the queue make the next batch.

    Never more than `max_rows` rows, but at least one request: a larger one goes alone and is split further down.
    """
    count = total = 0
    for size in rows:
        total += size
        if count and total > max_rows:
            break
        count += 1
        if total >= max_rows:
            break
    return count


def admits(waiting_rows: int, rows: int, max_queue_size: int) -> bool:
    """Whether a request of `rows` may wait behind `waiting_rows`. An empty queue takes a request of any size."""
    return not waiting_rows or waiting_rows + rows <= max_queue_size


def pause_s(call_s: float) -> float:
    """How long a worker lets callers come back after a delivery before it takes the next batch.

    Work-conserving dispatch alone makes closed-loop clients fall into two alternating batches of half the size; 5% of
    a call, at most 0.5 ms, was measured to bring them together again.
    """
    return min(_PAUSE_SHARE * call_s, _PAUSE_MOST_S)


def share_rows(waiting_rows: int, free: int, profile: Profile) -> int:
    """How many of `waiting_rows` one of `free` replicas takes: all, unless a smaller call is much shorter."""
    if free <= 1 or waiting_rows <= 1:
        return waiting_rows
    part = math.ceil(waiting_rows / free)
    whole_s, part_s = profile.call_s(waiting_rows), profile.call_s(part)
    if whole_s is None or part_s is None or part_s < _WORTH_SPLITTING * whole_s or profile.largest_rows < waiting_rows:
        return part
    return waiting_rows


def turn_rows(rows: int, groups: int, members: int) -> int:
    """The rows of a batch where callers take turns in so many `groups` and `rows` of them are there: one group is
    computed by the `members`, and the others have their answers, or wait to be next."""
    return max(1, math.ceil(rows / (groups * max(1, members))))


def rows_within(profile: Profile, limit_s: float, max_rows: int) -> int:
    """The most rows whose call is expected to end within `limit_s`; 1 at least.

    Sizes that were never seen are tried step by step, each at most twice the largest one seen.
    """
    most = min(max_rows, max(1, _EXPLORE * profile.largest_rows))
    low, high = 1, most
    while low < high:  # the expected time grows with the rows, or nearly so
        middle = (low + high + 1) // 2
        if (profile.call_s(middle) or 0.0) <= limit_s:
            low = middle
        else:
            high = middle - 1
    return low


def riding_rows(profile: Profile, rows: int, max_rows: int) -> int:
    """How many rows of bulk work may ride in a call of `rows`, since they hardly make it longer."""
    most = min(max_rows, profile.largest_rows)
    call_s = profile.call_s(rows)
    if call_s is None or most <= rows:
        return 0
    return max(0, rows_within(profile, call_s * _FREE_RIDE, most) - rows)


def bulk_rows(profile: Profile, interactive_s: float | None, max_rows: int) -> int:
    """Rows of a call of bulk work alone. `interactive_s`: how long interactive requests take now; None: there are none.

    Whoever comes while it runs waits for its end: it may take a small share of the time they take anyway.
    """
    if interactive_s is None:
        return max_rows
    return rows_within(profile, interactive_s * _BULK_QUANTUM, max_rows)


def bulk_starves(bulk_s: float, total_s: float) -> bool:
    """Whether bulk work, which waits, has had less than its share of the time lately."""
    return bulk_s < _BULK_SHARE * total_s


def runs_inline(call_s: float | None, limit_s: float, inline_now: bool) -> bool:
    """Whether calls that take `call_s` belong on the event loop; with hysteresis, so that noise does not flap it."""
    if call_s is None:
        return inline_now
    return call_s <= limit_s * (_STAY if inline_now else 1.0)


def belongs_apart(calls: int, cpu_s: float) -> bool:
    """Whether `calls` of Python code that have computed for `cpu_s` belong in a process of their own.

    While they compute, they hold the interpreter's lock, and the event loop stands still; while they wait for something
    else, they do not. Below a millisecond the way there and back costs more than that.
    """
    return calls > 0 and cpu_s / calls > _APART_S


def lines_up(call_s: float | None, members: int, taking_turns: bool) -> bool:
    """Whether a replica whose calls take `call_s` gets the next one before this one has ended.

    It then waits for nobody between the two, which is worth something where calls are short. What is lined up cannot be
    given to another: a long call would keep it from a replica that is free sooner. Where there is no other and callers
    take turns, requests join and leave it until its call begins: it has nothing to lose.
    """
    return call_s is not None and (call_s <= _LINE_UP_S or (taking_turns and members == 1))


def restart_delay_s(failures: int, lived_s: float) -> float:
    """How long to wait before a lost replica is opened again: the first time not at all, then ever longer.

    `failures`: replicas lost in a row, this one included; one that lived for a minute starts the count again.
    """
    if failures <= 1 or lived_s >= LIVED_S:
        return 0.0
    return min(_BACKOFF_MOST_S, _BACKOFF_S * 2.0 ** min(failures - 2, 30))


def replicas_wanted(now: int, least: int, most: int, busy_share: float, waiting: bool, quiet_s: float) -> int:
    """How many replicas there should be. `busy_share`: of the time of all of them, over the last second.

    One more while all are busy and requests wait; one less after half a minute (`quiet_s`) in which fewer would do.
    """
    if now < most and waiting and busy_share > _GROW_AT:
        return now + 1
    if now > least and quiet_s >= 30.0:
        return now - 1
    return max(least, min(now, most))


def fewer_would_do(now: int, busy_share: float) -> bool:
    return now > 1 and busy_share * now / (now - 1) < _SHRINK_AT


class Placement:
    """Where a replica's calls run: on the event loop, or on a worker thread. `executor`: the setting."""

    def __init__(self, native: bool, executor: str, limit_s: float) -> None:
        self.inline = executor == "inline" or (native and executor == "auto")
        self._adapts = native and executor == "auto"
        self._limit_s = limit_s

    def follow(self, call_s: float | None) -> None:
        """Calls lately take `call_s` seconds."""
        stays = self.inline and call_s is not None and call_s <= self._limit_s
        if self._adapts and not stays:
            self.inline = runs_inline(call_s, self._limit_s, self.inline)
