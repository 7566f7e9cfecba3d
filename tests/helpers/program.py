"""The `foretell` program as a process of its own."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

WAIT_S = 60.0
_SERVING = re.compile(r"serving on (?:https?://127\.0\.0\.1:(\d+)|unix:)")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "foretell", *map(str, arguments)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's, without settings of foretell, with a width of terminal that cuts nothing, and with what a program
    says waiting in it as it does everywhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FORETELL_", "PYTHONUNBUFFERED"))}
    return {**own, "COLUMNS": "400", **(extra or {})}


def run(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, stdin: bytes | None = None
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(env), input=stdin.decode() if stdin is not None else None,
        capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip


@contextmanager
def started(
    *arguments: object, cwd: Path, env: Mapping[str, str], script: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A command under way, in the environment `env`; what is left of it at the end is killed. `script`: Python that
    runs it, with its words as arguments."""
    words = command(*arguments) if script is None else [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(
        words, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Server:
    """`foretell serve` from the moment it says that it serves, on a free port; `port` is None for a Unix socket."""

    def __init__(
        self,
        *arguments: object,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        port: int | None = 0,
        through: Sequence[str] = (),
    ) -> None:
        """`through`: a command that runs the program, which it gets as words."""
        where = () if port is None else ("--http-port", port)
        self.process = subprocess.Popen(
            [*through, *command("serve", *arguments, *where)], cwd=cwd, env=environment(env),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.said: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        found = _SERVING.search(self.wait_for("serving on "))
        assert found is not None
        self.port = int(found[1] or 0)
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def wait_for(self, text: str) -> str:
        """The next line of standard error that holds `text`."""
        while True:
            line = self._lines.get(timeout=WAIT_S)
            assert line is not None, f"it ended without saying {text!r}: {self.said}"
            if text in line:
                return line

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """The exit code. Nothing of the program is left behind, and it has said nothing on standard output."""
        code = self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        assert self.process.stdout is not None
        assert self.process.stdout.read() == ""
        self.process.stdout.close()
        _, alive = psutil.wait_procs(self.children, timeout=WAIT_S)
        assert not alive
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self._reader.join(WAIT_S)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))
            self._lines.put(line)
        self._lines.put(None)
