"""Loading keeps out of the way of what serves, and leaves nothing of that behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from foretell.backends.gently import gently, low_priority, short_turns

WAIT_S = 20.0

_AS_NOBODY = """
import os
from foretell.backends.gently import gently, low_priority

if os.getuid() == 0:
    os.setuid(65534)
with gently(), low_priority():
    print(os.getpriority(os.PRIO_PROCESS, 0))
"""


def priority(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


class Lasting:
    """A thread that lasts until it is ended, as those of a runtime do."""

    def __init__(self) -> None:
        self._end, begun = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: (begun.set(), self._end.wait(WAIT_S)), daemon=True)
        self._thread.start()
        assert begun.wait(WAIT_S)
        assert self._thread.native_id is not None
        self.id = self._thread.native_id

    def end(self) -> None:
        self._end.set()
        self._thread.join(WAIT_S)


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root may raise a priority again")
def test_it_is_low_meanwhile_and_neither_it_nor_what_it_began_stays_so() -> None:
    seen: dict[str, list[int]] = {}

    def load() -> None:
        own, other = threading.get_native_id(), Lasting()
        usual = priority(own)
        with pytest.raises(RuntimeError), gently(), low_priority():
            begun = Lasting()
            seen["meanwhile"] = [priority(thread) - usual for thread in (own, begun.id, other.id)]
            raise RuntimeError("the model does not load")
        seen["after"] = [priority(thread) - usual for thread in (own, begun.id, other.id)]
        for thread in (begun, other):
            thread.end()

    thread = threading.Thread(target=load)
    thread.start()
    thread.join(WAIT_S)
    lowest = 19 - priority(0)
    assert seen == {"meanwhile": [lowest, lowest, 0], "after": [0, 0, 0]}


def test_who_could_not_go_back_stays() -> None:
    usual = priority(0)
    command = [sys.executable, "-c", _AS_NOBODY]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=WAIT_S)
    assert done.stdout == f"{usual}\n"


def test_a_start_is_not_slowed() -> None:
    usual = priority(0)
    with low_priority():
        assert priority(0) == usual


def test_turns_are_short_meanwhile() -> None:
    usual_s = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() <= 0.0005
    assert sys.getswitchinterval() == usual_s
