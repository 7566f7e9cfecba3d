"""Servers as processes of their own, and the load generator."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_READY = re.compile(r"serving on http://127\.0\.0\.1:(\d+)")

BODY = '{"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}'
PATH = "/v2/models/tiny/infer"


class Server:
    """A process that says on standard error where it serves."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        seen = []
        for text in self._process.stderr or ():
            seen.append(text)
            found = _READY.search(text)
            if found:
                self.port = int(found[1])
                return
        raise RuntimeError("the server did not start: " + "".join(seen))

    @classmethod
    def foretell(cls, model: Path, *flags: str) -> Self:
        return cls([sys.executable, "-m", "foretell", "serve", str(model), "--http-port", "0", *flags])

    @classmethod
    def bare(cls, model: Path) -> Self:
        return cls([sys.executable, "-m", "benchmarks.bare", str(model)])

    def post(self, path: str, body: bytes) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, timeout=30) as reply:
            return bytes(reply.read())

    def peak_memory_bytes(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        if self._process.stderr:
            self._process.stderr.close()


@dataclass(frozen=True)
class Load:
    requests_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def wrk(port: int, connections: int, seconds: int) -> Load:
    """`wrk -t1` with one JSON row. Raises RuntimeError where wrk is not installed."""
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is not installed (Debian: apt-get install wrk)")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "POST"\nwrk.body = [[{BODY}]]\nwrk.headers["Content-Type"] = "application/json"\n')
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", script.name]
        text = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{PATH}"], check=True, capture_output=True, text=True
        ).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Load(
        float(_found(r"Requests/sec:\s+([\d.]+)", text)[1]),
        _milliseconds(_found(r"50%\s+([\d.]+)(us|ms|s)", text)),
        _milliseconds(_found(r"99%\s+([\d.]+)(us|ms|s)", text)),
        int(bad[1]) if bad else 0,
    )


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk printed something else:\n{text}")
    return found


def _milliseconds(found: re.Match[str]) -> float:
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]
