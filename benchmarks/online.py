"""The HTTP door against a bare server that checks nothing, in turns."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.models import tiny
from benchmarks.process import Load, Server, wrk
from benchmarks.report import line, median, title

ROUNDS = 3
SECONDS = 4
WANTED = {64: "40,000 requests/s", 16: "", 1: ""}


def main() -> None:
    title("online: tiny ONNX model, Open Inference Protocol JSON of one row, wrk -t1")
    with tempfile.TemporaryDirectory() as folder:
        model = tiny(Path(folder))
        with Server.foretell(model) as ours, Server.bare(model) as bare:
            for connections, wanted in WANTED.items():
                pairs = [
                    (wrk(bare.port, connections, SECONDS), wrk(ours.port, connections, SECONDS)) for _ in range(ROUNDS)
                ]
                _print(connections, pairs, wanted)
            line(
                "memory at the peak",
                ours.peak_memory_bytes() / 2**20,
                "MiB",
                beside=f"bare {bare.peak_memory_bytes() / 2**20:.0f} MiB",
            )


def _print(connections: int, pairs: list[tuple[Load, Load]], wanted: str) -> None:
    errors = sum(ours.errors for _, ours in pairs)
    if errors:
        raise RuntimeError(f"{errors} requests failed")
    p99 = median([ours.p99_ms for _, ours in pairs])
    bare_p99 = median([bare.p99_ms for bare, _ in pairs])
    line(
        f"{connections} connections",
        median([ours.requests_s for _, ours in pairs]),
        "requests/s",
        beside=f"bare {median([bare.requests_s for bare, _ in pairs]):,.0f} | p99 {p99:.2f} ms, bare {bare_p99:.2f}",
        ratio=median([ours.requests_s / bare.requests_s for bare, ours in pairs]),
        wanted=wanted,
    )
