"""A server as a process of its own: started, asked, watched and ended."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil

from benchmarks.wire import Wire, differs

ROOT = Path(__file__).parents[1]
_START_S = 60.0
_LOOK_S = 0.002
_STOP_S = 10.0


class Unavailable(RuntimeError):
    """Something that a measurement needs cannot be had here: it is left out, with this as its note."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Used:
    """What the processes of a server have used since they started."""

    cpu_s: float
    at: float


class Server:
    """Starts `command` and waits until it answers one request rightly; that took `start_s` from the process's start.

    It has an empty cache folder: it has learned nothing before. `command` and `environ` may hold "{port}". `core`: the
    only core that it may use. Raises RuntimeError, with the end of what the server printed, where it ends or does not
    answer.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        wire: Wire,
        row: np.ndarray,
        *,
        environ: Mapping[str, str | None] | None = None,
        core: int | None = None,
    ) -> None:
        self.name, self.wire, self.port = name, wire, free_port()
        pinned = [] if core is None else ["taskset", "-c", str(core)]
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._log = Path(self._folder.name) / "log"
        started = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*pinned, *(part.replace("{port}", str(self.port)) for part in command)],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                cwd=self._folder.name,
                env=environment({"XDG_CACHE_HOME": self._folder.name, **(environ or {})}, self.port),
            )  # fmt: skip
        try:
            self._wait(row, started + _START_S)
            self.start_s = time.perf_counter() - started
            self._main = psutil.Process(self._process.pid)
        except BaseException:
            self.stop()
            raise

    def ask(self, row: np.ndarray, timeout_s: float = 30.0) -> np.ndarray:
        """The answer to one row. Raises `http.client.HTTPException` or OSError where there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            return self.wire.ask(connection, row)
        finally:
            connection.close()

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def check(self, rows: np.ndarray, expected: np.ndarray) -> None:
        """Raises RuntimeError where rows that are asked for at the same time get other answers than `expected`."""
        wrong = differs(self.port, self.wire, rows, expected)
        if wrong:
            raise RuntimeError(f"{self.name} answers wrongly: {wrong}")

    def used(self) -> Used:
        total = 0.0
        for process in self._family():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return Used(total, time.perf_counter())

    def memory_bytes(self) -> int:
        """Resident now, of all its processes; pages that they share count in each."""
        return sum(_status(process.pid, "VmRSS") for process in self._family())

    def peak_memory_bytes(self) -> int:
        return sum(_status(process.pid, "VmHWM") for process in self._family())

    def processes(self) -> int:
        return len(self._family())

    def stop(self) -> None:
        """SIGTERM, and after some seconds SIGKILL for whatever of its session is left."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _family(self) -> list[psutil.Process]:
        return [self._main, *self._main.children(recursive=True)]

    def _wait(self, row: np.ndarray, until: float) -> None:
        last: Exception | None = None
        while time.perf_counter() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended at its start: {self._said()}")
            try:
                self.ask(row)
                return
            except (OSError, http.client.HTTPException) as error:
                last = error
                time.sleep(_LOOK_S)
        raise RuntimeError(f"{self.name} does not answer ({last!r}): {self._said()}")

    def _said(self) -> str:
        return self._log.read_text("utf-8", "replace").strip()[-1500:] or "it printed nothing"


def foretell(model: str | Path, *flags: str) -> list[str]:
    """The command that serves `model`, with every default but `flags`."""
    return [sys.executable, "-m", "foretell", "serve", str(model), "--http-port", "{port}", *flags]


@cache
def help_of_serve() -> str:
    command = [sys.executable, "-m", "foretell", "serve", "--help"]
    environ = {**environment({}), "COLUMNS": "300"}
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=environ).stdout
    return " ".join(text.split())


def needs(*flags: str) -> None:
    """Raises `Unavailable` where `foretell serve` does not have each of `flags`: "--name", or "--name choice"."""
    for flag in flags:
        name, _, choice = flag.partition(" ")
        _, found, rest = help_of_serve().partition(f"{name} ")
        if not found or (choice and choice not in rest.partition("]")[0].partition("[choices: ")[2].split(", ")):
            raise Unavailable(f"needs {flag}")


def environment(changes: Mapping[str, str | None], port: int = 0) -> dict[str, str]:
    """Ours, without settings of foretell; a change to None takes a variable away.

    Modules are compiled once and kept, as those of an installed package are: else each start would compile them anew.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FORETELL_")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [environ.get("PYTHONPATH"), str(ROOT)]))
    for name, value in changes.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value.replace("{port}", str(port))
    return environ


def _status(pid: int, field: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    _, found, rest = text.partition(f"{field}:")
    return int(rest.split()[0]) * 1024 if found else 0
