"""Poisson arrivals at a given rate, by `generator.py`: what became of each, counted from when it was due."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np

from benchmarks.process import ROOT, Server
from benchmarks.wire import Request

_MOST_LATE_MS = 2.0


@dataclass(frozen=True)
class Arrivals:
    """`due_s`, `took_ms` and `status` of each request, in the order of their ends; status 0: no answer came."""

    seconds: float
    due_s: np.ndarray
    took_ms: np.ndarray
    status: np.ndarray
    left_late_ms: float
    """How late the generator itself was, at its 99th percentile. It counts in the latencies."""

    def took(self, q: float, status: int = 200) -> float:
        """The percentile `q` of the latencies of answers with this status; 0 where there are none."""
        chosen = self.took_ms[self.status == status]
        return float(np.percentile(chosen, q)) if len(chosen) else 0.0

    def goodput(self, within_ms: float) -> float:
        """Right answers in time, per second."""
        return float(((self.status == 200) & (self.took_ms <= within_ms)).sum()) / self.seconds

    def share(self, status: int) -> float:
        return float((self.status == status).mean()) if len(self.status) else 0.0

    @property
    def failed(self) -> int:
        """Neither answered nor refused."""
        return int((~np.isin(self.status, (200, 429))).sum())

    @property
    def generator_kept_up(self) -> bool:
        return self.left_late_ms <= _MOST_LATE_MS

    def settled_s(self, within_ms: float, least_s: float) -> float:
        """The end of the last second in which more than one of a hundred answers came too late, or in which fewer than
        `least_s` came in time."""
        answered = self.status == 200
        due, late = self.due_s[answered], self.took_ms[answered] > within_ms
        ends = np.arange(1, int(self.seconds) + 1)
        inside = [late[(due >= end - 1) & (due < end)] for end in ends]
        bad = [e for e, each in zip(ends, inside, strict=True) if (~each).sum() < max(least_s, 0.99 * len(each))]
        return float(bad[-1]) if bad else 0.0


def open_loop(server: Server, request: Request, rate: float, seconds: float, seed: int = 0) -> Arrivals:
    """`rate`: requests a second, whether the server keeps up or not."""
    order = {
        "port": server.port, "request": base64.b64encode(_bytes(request, server.port)).decode(),
        "rate": rate, "seconds": seconds, "seed": seed,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.online.generator"], input=json.dumps(order), check=False,
        capture_output=True, text=True, cwd=ROOT, timeout=seconds + 60,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the generator of an open loop failed: {done.stderr.strip()[-1000:]}")
    came = json.loads(done.stdout)
    answers = np.array(came["answers"], float).reshape(-1, 3)
    late_ms = 1e3 * float(np.percentile(came["late_s"], 99)) if came["late_s"] else 0.0
    return Arrivals(seconds, answers[:, 0], 1e3 * answers[:, 1], answers[:, 2].astype(int), late_ms)


def _bytes(request: Request, port: int) -> bytes:
    lines = [f"POST {request.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(request.body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + request.body
