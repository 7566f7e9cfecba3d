"""What each of several workers gets of a limit that was set for all of them together."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

_SHARED = {"max_buffered_bytes", "max_connections", "max_queue_size"}
"""Limits that hold for the whole server: each worker has its part."""
_RATE = "rate_per_s"
_BURST = "rate_burst"
"""Divided, too, by whoever keeps count of callers (`foretell.serve.guard`)."""
_EACH = {"cache_size", "max_loaded_models", "replicas", "max_replicas", "slo_ms"}
"""What every worker has for itself, since their memory is their own, and so are the calls they measure: where each
keeps to an objective, all of them do. 0 and None are nothing, in each as in all."""
_CORES = "threads"
"""Where it is 0, one for each core: the cores are divided."""

SettingsT = TypeVar("SettingsT")


def share(total: int, workers: int) -> int:
    """The part of one: rounded up, so that together they never have less."""
    return -(-total // workers)


def threads_of_each(cores: int, workers: int) -> int:
    return max(1, cores // workers)


def divided(settings: SettingsT, workers: int) -> SettingsT:
    """Settings of the server or of a model, as one of `workers` keeps to them. Threads are left to the backends."""
    names = {field.name for field in dataclasses.fields(settings)} & _SHARED  # type: ignore[arg-type]
    return dataclasses.replace(settings, **{name: share(getattr(settings, name), workers) for name in names})  # type: ignore[type-var]


def in_each(name: str, value: Any, workers: int, cores: int) -> float | None:
    """What a setting comes to in one of several workers; None where it means the same as in one process alone."""
    if workers == 1:
        return None
    if name == _RATE and value is not None:
        return float(value) / workers
    if name in _SHARED or (name == _BURST and value is not None):
        return share(value, workers)
    if name in _EACH and value:
        return float(value) if name == "slo_ms" else int(value)
    if name == _CORES and value == 0:
        return threads_of_each(cores, workers)
    return None
