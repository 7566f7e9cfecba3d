"""What processes take, as the system tells it."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

import pytest

from foretell.batch.vitals import Peak, available_bytes, idle_seconds, processor_seconds, proportional_bytes

MIB = 2**20

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells")


def test_memory_that_is_taken_is_seen() -> None:
    before = proportional_bytes()
    with new_memory(64 * MIB):
        after = proportional_bytes(os.getpid())
    assert before is not None and after is not None
    assert after - before > 50 * MIB


def test_a_peak_that_has_passed_is_seen_once() -> None:
    peak = Peak()
    peak.read()  # of all that was before
    first = peak.read()
    with new_memory(128 * MIB):
        pass
    second, third = peak.read(), peak.read()
    assert first is not None and second is not None and third is not None
    assert second - first > 100 * MIB
    assert second - third > 100 * MIB


def test_what_is_left_is_some_memory_and_less_than_there_is() -> None:
    left = available_bytes()
    assert left is not None
    assert 0 < left < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_processor_time_passes_while_something_is_done() -> None:
    before = processor_seconds(os.getpid())
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert processor_seconds(os.getpid()) - before >= 0.05


def test_processors_are_idle_at_times() -> None:
    before, after = idle_seconds(), idle_seconds()
    assert before is not None and after is not None
    assert 0 < before <= after < time.clock_gettime(time.CLOCK_BOOTTIME) + 60


def test_a_process_that_is_gone_takes_nothing() -> None:
    assert proportional_bytes(2**22 + 1) is None
    assert processor_seconds(2**22 + 1) == 0


def new_memory(size: int) -> mmap.mmap:
    """Pages from the system itself, all resident: an allocator may give what it has kept of what was freed before."""
    pages = mmap.mmap(-1, size)
    for at in range(0, size, mmap.PAGESIZE):
        pages[at] = 1
    return pages
