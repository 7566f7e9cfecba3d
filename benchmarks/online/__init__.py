"""The claims of the online path, each beside its peers and the bare server: python -m benchmarks online[.CASE]."""

from __future__ import annotations

from benchmarks.online import lanes, large, logged, lost, objective, processes, shadowed, threads, tiny

CASES = {
    "tiny": tiny.main,
    "thread": threads.main,
    "large": large.main,
    "objective": objective.main,
    "lanes": lanes.main,
    "logged": logged.main,
    "shadowed": shadowed.main,
    "processes": processes.main,
    "lost": lost.main,
}
