"""Decisions of the batcher: pure functions of the queue, the learned profile and the settings."""

from __future__ import annotations

from collections.abc import Iterable

_PAUSE_SHARE = 0.05
_PAUSE_MOST_S = 0.0005
_STAY = 1.5  # hysteresis: an inline model leaves the loop only when it is this much over the limit
_LEARN = 0.2
_LEARN_SLOWER = 0.02


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


def runs_inline(call_s: float | None, limit_s: float, inline_now: bool) -> bool:
    """Whether calls that take `call_s` belong on the event loop; with hysteresis, so that noise does not flap it."""
    if call_s is None:
        return inline_now
    return call_s <= limit_s * (_STAY if inline_now else 1.0)


class Placement:
    """Where a replica's calls run: on the event loop, or on a worker thread. `executor`: "auto", "inline", "thread"."""

    def __init__(self, native: bool, executor: str, limit_s: float) -> None:
        self.inline = executor == "inline" or (native and executor == "auto")
        self._adapts = native and executor == "auto"
        self._limit_s = limit_s

    def follow(self, call_s: float | None) -> None:
        """Calls lately take `call_s` seconds."""
        if self._adapts:
            self.inline = runs_inline(call_s, self._limit_s, self.inline)


class Profile:
    """Seconds per call by number of rows (in powers of two), learned from real calls."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self.recent_s: float | None = None
        """What a call of any size usually takes lately. Falls fast and rises slowly: on a busy machine the thread is
        sometimes put aside in the middle of a call, which says nothing of the model."""

    def learn(self, rows: int, seconds: float) -> None:
        bucket = rows.bit_length()
        known = self._seconds.get(bucket)
        self._seconds[bucket] = seconds if known is None else known + _LEARN * (seconds - known)
        if self.recent_s is None:
            self.recent_s = seconds
        else:
            rate = _LEARN if seconds < self.recent_s else _LEARN_SLOWER
            self.recent_s += rate * (seconds - self.recent_s)

    def call_s(self, rows: int) -> float | None:
        """Expected seconds of a call of `rows` rows: of the nearest size seen, None where nothing was."""
        if not self._seconds:
            return None
        bucket = rows.bit_length()
        return self._seconds[min(self._seconds, key=lambda known: abs(known - bucket))]
