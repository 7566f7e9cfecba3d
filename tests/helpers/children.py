"""The processes that this one has started."""

from __future__ import annotations

from multiprocessing import resource_tracker

import psutil


def children(*, recursive: bool = False) -> list[psutil.Process]:
    """All but the one in which Python keeps track of locks, which libraries start as they are imported."""
    tracker = getattr(resource_tracker._resource_tracker, "_pid", None)
    return [child for child in psutil.Process().children(recursive=recursive) if child.pid != tracker]
