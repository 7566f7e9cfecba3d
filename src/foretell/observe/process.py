"""What this process takes of its machine."""

from __future__ import annotations

import os
import sys


def process_memory() -> dict[str, int | None]:
    """`rss_bytes` now, where the system tells, and `peak_rss_bytes` since the start."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"rss_bytes": _rss_bytes(), "peak_rss_bytes": peak if sys.platform == "darwin" else peak * 1024}


def _rss_bytes() -> int | None:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
