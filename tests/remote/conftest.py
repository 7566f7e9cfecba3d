"""Nothing may be left of a model that was closed: no process, no thread, no open file."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest
import uvloop
from children import children

uvloop.new_event_loop().close()  # the first one opens what it keeps for the life of this process


def open_files() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the listing itself
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    gc.collect()
    before, threads = open_files(), set(threading.enumerate())
    yield
    gc.collect()
    assert children(recursive=True) == []
    assert [thread.name for thread in set(threading.enumerate()) - threads] == []
    assert {n: name for n, name in open_files().items() if before.get(n) != name} == {}
