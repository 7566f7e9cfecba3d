"""The event loop of the server: uvloop where there is one, the standard loop elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


def run_on_loop(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Runs `main` to its end on a loop of its own."""
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
