"""How long several ways of doing the same take, measured in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

_FEWEST_ROUNDS = 3


def medians_ms(ways: Mapping[str, Callable[[], object]], *, rounds: int, budget_s: float) -> dict[str, float]:
    """The median of each way, in milliseconds, after one call that does not count.

    In turns: a machine that changes its speed treats them alike. At most `rounds`, and about `budget_s` once there are
    three. Raises what a way raises.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        call()
    until = time.perf_counter() + budget_s
    for done in range(rounds):
        for name, call in ways.items():
            started = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - started) * 1e3)
        if done + 1 >= _FEWEST_ROUNDS and time.perf_counter() > until:
            break
    return {name: statistics.median(found) for name, found in times.items()}
