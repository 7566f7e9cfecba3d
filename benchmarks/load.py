"""`wrk -t1`: as many requests as its connections can have in flight, each waiting for its answer."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import Server, Unavailable
from benchmarks.wire import Request


@dataclass(frozen=True)
class Measured:
    """One run of `wrk` against one server. Cores: processor time per second."""

    requests_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    requests: int
    server_s: float
    """Processor time of the server."""
    server_cores: float
    client_cores: float

    @property
    def cpu_us(self) -> float:
        """Processor time of the server for each request."""
        return 1e6 * self.server_s / self.requests if self.requests else float("inf")


def wrk(
    server: Server,
    request: Request,
    connections: int,
    seconds: int,
    *,
    unique: bool = False,
    core: int | None = None,
) -> Measured:
    """`unique`: each request brings a header value that none before had. `core`: the only core that wrk may use.

    Raises `Unavailable` where wrk, or taskset for `core`, is not installed.
    """
    _need("wrk")
    pinned = []
    if core is not None:
        _need("taskset")
        pinned = ["taskset", "-c", str(core)]
    with tempfile.TemporaryDirectory() as folder:
        script = _script(Path(folder), request, server.port, unique)
        command = [*pinned, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency"]
        before, mine = server.used(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*command, "-s", str(script), f"http://127.0.0.1:{server.port}{request.path}"],
            check=False, capture_output=True, text=True, timeout=seconds + 60,
        )  # fmt: skip
        after, mine_after = server.used(), resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    elapsed = after.at - before.at
    client_s = mine_after.ru_utime + mine_after.ru_stime - mine.ru_utime - mine.ru_stime
    return _read(done.stdout, after.cpu_s - before.cpu_s, client_s, elapsed)


def _need(program: str) -> None:
    if shutil.which(program) is None:
        package = {"wrk": "wrk", "taskset": "util-linux"}[program]
        raise Unavailable(f"{program} is not installed (Debian: apt-get install {package})")


def _script(folder: Path, request: Request, port: int, unique: bool) -> Path:
    """The body is a file: it may be bytes of any kind."""
    body = folder / "body"
    body.write_bytes(request.body)
    script = folder / "script.lua"
    read = f'local file = io.open("{body}", "rb")\nlocal body = file:read("*a")\nfile:close()\n'
    if unique:
        # One string is joined for each request; wrk.format costs more than the servers that it is to measure.
        names = "".join(f"{name}: {value}\\r\\n" for name, value in request.headers.items())
        head = (
            f"POST {request.path} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n{names}"
            f"Content-Length: {len(request.body)}\\r\\nX-Request-Id: "
        )
        write = (
            f'local head, tail, count = "{head}", "\\r\\n\\r\\n" .. body, 10000000\n'
            "request = function()\n  count = count + 1\n  return head .. count .. tail\nend\n"
        )
    else:
        write = 'wrk.method, wrk.body = "POST", body\n'
        write += "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in request.headers.items())
    script.write_text(read + write)
    return script


def _read(text: str, server_s: float, client_s: float, elapsed_s: float) -> Measured:
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    socket = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Measured(
        requests_s=float(_found(r"Requests/sec:\s+([\d.]+)", text)[1]),
        p50_ms=_milliseconds(_found(r"50%\s+([\d.]+)(us|ms|s|m)\b", text)),
        p99_ms=_milliseconds(_found(r"99%\s+([\d.]+)(us|ms|s|m)\b", text)),
        errors=(int(bad[1]) if bad else 0) + (sum(map(int, socket.groups())) if socket else 0),
        requests=int(_found(r"(\d+) requests in", text)[1]),
        server_s=server_s,
        server_cores=server_s / elapsed_s,
        client_cores=client_s / elapsed_s,
    )


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk printed something else:\n{text}")
    return found


def _milliseconds(found: re.Match[str]) -> float:
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[found[2]]
