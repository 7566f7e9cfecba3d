"""Who holds a lock that other machines see, and whether that process still runs, where this machine can tell."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

_STATE, _STARTED = 0, 19
"""Of the fields in /proc/PID/stat that follow the name."""


@dataclass(frozen=True, slots=True)
class Owner:
    """`machine`: "" where it cannot be told from others. `started`: tells a process from a later one of its number."""

    machine: str
    process: int
    started: str

    @classmethod
    def this(cls) -> Owner:
        return cls(_machine(), os.getpid(), _started(os.getpid()) or "")

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this very machine."""
        return bool(self.machine) and self.machine == _machine()

    @property
    def runs(self) -> bool:
        """Whether that process of this machine has not ended."""
        return _started(self.process) == self.started


def _machine() -> str:
    """One system between two starts of it, and one space of process numbers in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {space}".encode()).hexdigest()[:16]


def _started(process: int) -> str | None:
    """When it began, in ticks since the system did; None where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[_STATE] in {b"Z", b"X"} else fields[_STARTED].decode("ascii")
