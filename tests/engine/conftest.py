"""Both event loops that foretell runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=list(LOOPS))
def runner(request: pytest.FixtureRequest) -> asyncio.Runner:  # type: ignore[misc]
    """Runs coroutines one after another on a loop of its own; for tests that are no coroutines themselves."""
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as made:
        yield made
