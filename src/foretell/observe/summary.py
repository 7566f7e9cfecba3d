"""Figures of a model for people and programs."""

from __future__ import annotations

from typing import Any

from foretell.observe.stats import Stats

_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def summary(stats: Stats, device: str) -> dict[str, Any]:
    """Counts, latency percentiles (ms, per call), throughput (rows per second), and how busy the device was."""
    elapsed = stats.total_s
    lasted = stats.last_s - stats.first_s if stats.first_s is not None else 0.0
    mean_s = elapsed.total / stats.requests if stats.requests else None
    return {
        "requests": stats.requests,
        "rows": stats.rows,
        "errors": dict(stats.failures),
        "latency_ms": {
            **{name: _ms(elapsed.percentile(share)) for name, share in _SHARES.items()},
            "mean": _ms(mean_s),
        },
        "throughput_rows_s": stats.throughput_rows_s(),
        "device": {"name": device, "busy_share": min(1.0, stats.busy_s / lasted) if lasted else None},
    }


def cache_summary(stats: Stats, rows: int) -> dict[str, int]:
    return {"hits": stats.cache_hits, "misses": stats.cache_misses, "rows": rows}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
