"""A server that loads models from folders."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from repositories import Manage, managing


@pytest.fixture
def manage() -> Iterator[Manage]:
    with managing(asyncio.new_event_loop) as start:
        yield start
