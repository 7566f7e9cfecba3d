"""What processes take of memory and processors, and what is left, as Linux tells it; None on systems that do not."""

from __future__ import annotations

import os
from pathlib import Path

from foretell.control_groups import groups, numbers

_KIB = 1024


def proportional_bytes(pid: int | None = None) -> int | None:
    """What a process has resident (this one, if not named); of pages that several share, its part of them (PSS)."""
    return _field(f"/proc/{pid or 'self'}/smaps_rollup", "Pss")


def available_bytes() -> int | None:
    """What this process and others may still take before the system, or its control group, runs out."""
    found = [_field("/proc/meminfo", "MemAvailable"), *_left_in_groups()]
    known = [each for each in found if each is not None]
    return min(known, default=None)


def processor_seconds(pid: int) -> float:
    """What a process has had of processors; 0 where nobody can tell, or it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def idle_seconds() -> float | None:
    """Since the machine began, that a processor had nothing to do; the mean of all."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            lines = [line.split() for line in file if line.startswith("cpu")]
        whole, each = lines[0], len(lines) - 1
        return (int(whole[4]) + int(whole[5])) / os.sysconf("SC_CLK_TCK") / each
    except (OSError, ValueError, IndexError, ZeroDivisionError):
        return None


class Peak:
    """The most that this process has had resident since it was looked at last, less what it shares with others."""

    def __init__(self) -> None:
        resident, own = _field("/proc/self/status", "VmRSS"), proportional_bytes()
        self._shared = resident - own if resident is not None and own is not None else 0

    def read(self) -> int | None:
        """Bytes; the next peak begins now, where the system lets it."""
        peak = _field("/proc/self/status", "VmHWM")
        try:
            with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
                file.write("5")
        except OSError:
            peak = _field("/proc/self/status", "VmRSS")  # it would stand for ever
        return None if peak is None else max(0, peak - self._shared)


def _field(path: str, name: str) -> int | None:
    """A number of kB in a file of lines `Name:  12 kB`, as bytes."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            line = next((line for line in file if line.startswith(f"{name}:")), None)
        return None if line is None else int(line.split()[1]) * _KIB
    except (OSError, ValueError, IndexError):
        return None


def _left_in_groups() -> list[int | None]:
    """Of each control group with a limit that this process is in."""
    return [
        _left(folder, "max", "current", "")
        if version == 2
        else _left(folder, "limit_in_bytes", "usage_in_bytes", "total_")
        for folder, version in groups("memory")
    ]


def _left(group: str, limit: str, used: str, prefix: str) -> int | None:
    """Of one group. What it keeps of files counts as free: the system gives it back when it is needed."""
    try:
        (most,), (now,) = numbers(f"{group}/memory.{limit}"), numbers(f"{group}/memory.{used}")
        stats = dict(line.split() for line in Path(group, "memory.stat").read_text("ascii").splitlines())
        return max(0, most - now + int(stats.get(f"{prefix}inactive_file", 0)))
    except (OSError, ValueError):
        return None
