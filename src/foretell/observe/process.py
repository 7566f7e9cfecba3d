"""What this process takes of its machine."""

from __future__ import annotations

import os
import sys
import time


def process_memory() -> dict[str, int | None]:
    """`rss_bytes` now, where the system tells, and `peak_rss_bytes` since the start."""
    import resource

    peak, rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, rss_bytes()
    peak_bytes = peak if sys.platform == "darwin" else peak * 1024
    # The system counts both in its own time, so that the present can seem higher than the peak.
    return {"rss_bytes": rss, "peak_rss_bytes": max(peak_bytes, rss or 0)}


_STARTED_S = time.time()


def process_exposition() -> str:
    """The metrics that Prometheus's own clients have of every process, under the same names."""
    spent = os.times()
    figures: list[tuple[str, str, str, float]] = [
        ("process_cpu_seconds_total", "counter", "User and system CPU time.", spent.user + spent.system),
        ("process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.", _STARTED_S),
    ]
    return "".join(
        f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {value!r}\n" for name, kind, text, value in figures
    )


def rss_bytes() -> int | None:
    """Resident now, shared pages included; None where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
