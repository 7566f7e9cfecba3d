"""A job as a command: how long it took, what all its processes held, and what it left behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.process import environment

_LOOK_S = 0.2
_UNTIL_LOOK_S = 0.005
_MARK = "BENCHMARK_JOB"
_LONGEST_S, _END_S = 1800.0, 5.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_NEAR = 0.97


@dataclass(frozen=True)
class Job:
    """`took_s`: from before the process starts until after it ends, or is stopped."""

    took_s: float
    rss_mb: float
    """The most that its processes held together; pages that they share count in each."""
    pss_mb: float
    """The same, with shared pages counted once."""
    left: int
    """Processes that it left running. They have been ended."""
    said: str


def run_job(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environ: Mapping[str, str | None] | None = None,
    until: Callable[[], bool] | None = None,
) -> Job:
    """Runs `command` in `folder` to its end, or until `until`, asked every 5 ms, says that enough is there.

    Raises RuntimeError, with the end of what it printed, where its exit status is not 0 though nobody stopped it.
    """
    mark = uuid.uuid4().hex
    log = folder / f"{mark}.log"
    started = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            cwd=folder, start_new_session=True, env=environment({_MARK: mark, **(environ or {})}),
        )  # fmt: skip
    limit = threading.Timer(_LONGEST_S, process.kill)  # waiting with a time-out would look up to 50 ms late
    limit.start()
    try:
        with _Watch(process, until) as watch:
            process.wait()
            took_s = time.perf_counter() - started
    finally:
        limit.cancel()
        left = _end_all(mark)
        said = log.read_text("utf-8", "replace").strip()
        log.unlink()
    if process.returncode != 0 and not watch.stopped:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said[-1500:] or 'it printed nothing'}")
    return Job(took_s, watch.rss / 1e6, watch.pss / 1e6, left, said)


def interpreter_s(python: str | Path = sys.executable) -> float:
    """What starting and ending Python alone takes: the least of five."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([str(python), "-c", "pass"], check=True, env=environment({}))
        times.append(time.perf_counter() - started)
    return min(times)


class _Watch:
    """Looks at the memory of a process and all below it, five times a second, and stops it where there is enough.

    Shared pages take milliseconds to count, so they are counted near the highest plain sum only, and not for more than
    a twentieth of the time: what is measured must not wait for its being measured.
    """

    def __init__(self, process: subprocess.Popen[bytes], until: Callable[[], bool] | None) -> None:
        self._process, self._until = process, until
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._next_look = self._next_count = 0.0
        self.rss = self.pss = 0
        self.stopped = False

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        main = psutil.Process(self._process.pid)
        while not self._ended.wait(_LOOK_S if self._until is None else _UNTIL_LOOK_S):
            if self._until and self._until():
                self.stopped = True
                self._process.kill()
                return
            began = time.perf_counter()
            if began >= self._next_look:
                self._next_look = began + _LOOK_S
                with contextlib.suppress(psutil.NoSuchProcess):
                    self._weigh([main.pid, *(child.pid for child in main.children(recursive=True))])

    def _weigh(self, family: Sequence[int]) -> None:
        rss = sum(map(_rss, family))
        self.rss = max(self.rss, rss)
        began = time.perf_counter()
        if rss > _NEAR * self.rss and began >= self._next_count:
            self.pss = max(self.pss, sum(map(_pss, family)))
            ended = time.perf_counter()
            self._next_count = ended + 20 * (ended - began)


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
    wanted, left = f"{_MARK}={mark}".encode(), []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if wanted in Path(f"/proc/{process.pid}/environ").read_bytes():
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=_END_S)
    return len(left)
