"""A job as a command: how long it took, what all its processes held, when its first file came, and what it left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import environment

_LOOK_S = 0.1
_FIRST_LOOK_S = 0.005
_MARK = "BENCHMARK_JOB"
_LONGEST_S = 1800.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_GREW = 1.02


@dataclass(frozen=True)
class Job:
    """`took_s`: from before the process starts until after it ends."""

    took_s: float
    rss_mb: float
    """The most that its processes held together; pages that they share count in each."""
    pss_mb: float
    """The same, with shared pages counted once."""
    first_s: float | None
    """Until the first of the files that were waited for was there."""
    left: int
    """Processes that it left running. They have been ended."""
    said: str


def run_job(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environ: Mapping[str, str | None] | None = None,
    first: Callable[[], bool] | None = None,
) -> Job:
    """Runs `command` in `folder` to its end. `first`: whether the first result is there, asked every 5 ms until it is.

    Raises RuntimeError, with the end of what it printed, where its exit status is not 0.
    """
    mark = uuid.uuid4().hex
    log = folder / f"{mark}.log"
    started = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            cwd=folder, start_new_session=True, env=environment({_MARK: mark, **(environ or {})}),
        )  # fmt: skip
    try:
        with _Watch(process.pid, started, first) as watch:
            process.wait(_LONGEST_S)
            took_s = time.perf_counter() - started
    finally:
        left = _end_all(mark)
    said = log.read_text("utf-8", "replace").strip()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said[-1500:] or 'it printed nothing'}")
    return Job(took_s, watch.rss / 1e6, watch.pss / 1e6, watch.first_s, left, said)


def interpreter_s(python: str | Path = sys.executable) -> float:
    """What starting and ending Python alone takes: the least of five."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([str(python), "-c", "pass"], check=True, env=environment({}))
        times.append(time.perf_counter() - started)
    return min(times)


class _Watch:
    """Looks at the memory of a process and all below it, every tenth of a second.

    Shared pages take milliseconds to count, so they are counted only where the plain sum reached a new height.
    """

    def __init__(self, pid: int, started: float, first: Callable[[], bool] | None) -> None:
        self._pid, self._started, self._first = pid, started, first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.rss = self.pss = 0
        self.first_s: float | None = None

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._see_first()

    def _look(self) -> None:
        counted = next_look = 0.0
        while not self._stop.wait(_FIRST_LOOK_S if self._first and self.first_s is None else _LOOK_S):
            self._see_first()
            if time.perf_counter() < next_look:
                continue
            next_look = time.perf_counter() + _LOOK_S
            family = list(_family(self._pid))
            rss = sum(map(_rss, family))
            self.rss = max(self.rss, rss)
            if rss > counted * _GREW:
                counted = rss
                self.pss = max(self.pss, sum(map(_pss, family)))

    def _see_first(self) -> None:
        if self._first and self.first_s is None and self._first():
            self.first_s = time.perf_counter() - self._started


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                yield from _family(int(child))


def _rss(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        _, found, rest = Path(f"/proc/{pid}/smaps_rollup").read_text().partition("Pss:")
        return int(rest.split()[0]) * 1024 if found else 0
    return 0


def _end_all(mark: str) -> int:
    """Ends every process that has the mark in its environment, whatever session it moved to; how many there were."""
    wanted, left = f"{_MARK}={mark}".encode(), 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
                left += 1
    return left
