"""What this process may use of the machine."""

from __future__ import annotations

import math
import os
from functools import cache

from foretell.control_groups import groups, numbers


def usable_cores() -> int:
    """The cores this process may use: those it may run on, or fewer where a control group, such as that of a container,
    gives it less time. Part of a core counts as one."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(there, _allowed()))


@cache
def _allowed() -> float:
    return allowed(list(groups("cpu")))


def allowed(among: list[tuple[str, int]]) -> float:
    """Seconds of processors in each second that all of these control groups let a process have; infinity: any.

    The files are `cpu.max` (docs.kernel.org/admin-guide/cgroup-v2.html), and `cpu.cfs_quota_us` beside
    `cpu.cfs_period_us` of version 1.
    """
    least = math.inf
    for folder, version in among:
        try:
            if version == 2:
                quota, period = numbers(f"{folder}/cpu.max")
            else:
                (quota,), (period,) = numbers(f"{folder}/cpu.cfs_quota_us"), numbers(f"{folder}/cpu.cfs_period_us")
        except (OSError, ValueError):
            continue
        if quota > 0 and period > 0:  # -1: no limit
            least = min(least, quota / period)
    return least
