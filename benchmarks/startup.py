"""How long a person waits: importing foretell, and the first answer after a server's process starts."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.models import tiny
from benchmarks.process import Server
from benchmarks.report import line, median, title

ROUNDS = 7


def main() -> None:
    title("start")
    empty = median([_run("pass") for _ in range(ROUNDS)])
    whole = median([_run("import foretell") for _ in range(ROUNDS)])
    line(
        "import foretell, beyond the interpreter",
        whole - empty,
        "s",
        beside=f"python alone {empty:.3f} s",
        wanted="under 0.15",
    )
    with tempfile.TemporaryDirectory() as folder:
        model = tiny(Path(folder))
        floor = median(
            [_run(f"import numpy, onnxruntime as o; o.InferenceSession({str(model)!r})") for _ in range(ROUNDS)]
        )
        first = median([_first_answer(model) for _ in range(ROUNDS)])
    line(
        "first answer after process start",
        first,
        "s",
        beside=f"onnxruntime alone {floor:.3f} s",
        ratio=first / floor,
        wanted="0.8",
    )


def _run(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def _first_answer(model: Path) -> float:
    started = time.perf_counter()
    with Server.foretell(model) as server:
        request = {"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
        reply = json.loads(server.post("/v2/models/tiny/infer", json.dumps(request).encode()))
        elapsed = time.perf_counter() - started
    if len(reply["outputs"][0]["data"]) != 3:
        raise RuntimeError(f"a wrong answer: {reply}")
    return elapsed
