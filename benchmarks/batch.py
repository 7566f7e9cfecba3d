"""`predict_batch` against a bare loop over the same arrays, and its memory as the data grows tenfold."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.models import small
from benchmarks.report import line, median, title
from foretell import Predictor

ROWS = 1_000_000
ROUNDS = 5
SIZE = 8192
REST_S = 0.3
"""Before each measurement: the bare session's threads spin on after its last call, and would take a core from ours."""


def main() -> None:
    title(f"batch: small network, {ROWS:,} rows x 20 float32")
    data = np.random.default_rng(0).normal(size=(ROWS, 20)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        model = small(Path(folder))
        with Predictor(model) as predictor:
            bare = onnxruntime.InferenceSession(str(model))
            times: list[tuple[float, float]] = []
            for _ in range(ROUNDS):
                limit, expected = _timed(lambda: _bare(bare, data))
                ours, answer = _timed(lambda: predictor.predict_batch(data)["probabilities"])
                if not np.array_equal(expected, answer):
                    raise RuntimeError("the answers differ")
                times.append((limit, ours))
        line(
            "predict_batch",
            ROWS / median([ours for _, ours in times]),
            "rows/s",
            beside=f"bare loop, batches of {SIZE}: {ROWS / median([limit for limit, _ in times]):,.0f}",
            ratio=median([limit / ours for limit, ours in times]),
            wanted="0.80",
        )
        for rows in (ROWS, 10 * ROWS):
            line(f"memory added, iterator of {rows:,} rows", _added_memory(model, rows), "MiB", wanted="flat")


def _bare(session: onnxruntime.InferenceSession, data: np.ndarray) -> np.ndarray:
    return np.concatenate([session.run(None, {"input": data[at : at + SIZE]})[0] for at in range(0, len(data), SIZE)])


def _timed(call):  # type: ignore[no-untyped-def]
    time.sleep(REST_S)
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


_ITERATE = """
import resource, sys
import numpy as np
from foretell import Predictor
rows, size = int(sys.argv[2]), 10_000
rng = np.random.default_rng(0)
def blocks():
    for _ in range(rows // size):
        yield rng.normal(size=(size, 20)).astype(np.float32)
with Predictor(sys.argv[1]) as predictor:
    for _ in range(20):
        predictor.predict(next(blocks()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = sum(len(answer["probabilities"]) for answer in predictor.predict_batch(blocks()))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if total != rows:
    sys.exit(f"{total} answers for {rows} rows")
print((after - before) / 1024)
"""


def _added_memory(model: Path, rows: int) -> float:
    """Peak memory in MiB beyond that of a few calls."""
    command = [sys.executable, "-c", _ITERATE, str(model), str(rows)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
