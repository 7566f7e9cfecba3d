"""Triton's client knows nothing of the server's loop: one of them is enough."""

from __future__ import annotations

import pytest
import uvloop
from serving import LoopFactory


@pytest.fixture
def new_loop() -> LoopFactory:
    return uvloop.new_event_loop
