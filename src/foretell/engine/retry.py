"""When to try again: exponential backoff with full jitter, for transient errors only."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from foretell.clock import Clock
from foretell.errors import TransientError

ResultT = TypeVar("ResultT")

_MOST_DOUBLINGS = 64  # beyond it a float overflows long before the waits matter


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`retries` further tries; the n-th waits a random time up to `delay_s * 2**n`, never over `max_delay_s`.

    Full jitter: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """

    retries: int
    delay_s: float
    max_delay_s: float

    def wait_s(self, attempt: int, rng: random.Random) -> float:
        """Seconds before try `attempt + 1`, `attempt` counting from 0."""
        return rng.uniform(0.0, min(self.max_delay_s, self.delay_s * 2.0 ** min(attempt, _MOST_DOUBLINGS)))


def with_retries(
    call: Callable[[], ResultT],
    policy: RetryPolicy,
    clock: Clock,
    rng: random.Random,
    deadline: float | None,
) -> ResultT:
    """Calls until it succeeds, the tries are spent, or the next wait would pass `deadline`; other errors pass."""
    for attempt in range(policy.retries):
        try:
            return call()
        except TransientError:
            wait_s = policy.wait_s(attempt, rng)
            if deadline is not None and clock.monotonic() + wait_s >= deadline:
                raise
            clock.sleep(wait_s)
    return call()
