"""`predict_batch` against a bare loop over the same arrays, and its memory as the data grows tenfold."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.models import small
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from foretell import Predictor

ROWS = 1_000_000
ROUNDS = 5
SIZE = 8192
REST_S = 0.3
"""Before each measurement: the bare session's threads spin on after its last call, and would take a core from ours."""


def main(run: Run) -> None:
    run.report.title("batch", f"small network, {ROWS:,} rows x 20 float32, beside a bare loop over the same array")
    data = np.random.default_rng(0).normal(size=(ROWS, 20)).astype(np.float32)
    model = small(run.folder)
    with Predictor(model) as predictor:
        bare = onnxruntime.InferenceSession(str(model))
        if not np.array_equal(_bare(bare, data), predictor.predict_batch(data)["probabilities"]):
            raise RuntimeError("the answers differ")
        rates = run.in_turns(
            {
                "predict_batch": lambda: _rate(lambda: predictor.predict_batch(data)),
                f"bare, batches of {SIZE}": lambda: _rate(lambda: _bare(bare, data)),
            },
            ROUNDS,
        )
    for name, raw in rates.items():
        shares = ratios(rates["predict_batch"], raw)
        goals = [] if name == "predict_batch" else [Goal.at_least(middle(shares), 0.8, " of this")]
        run.report.add(Row(f"{ROWS:,} rows", name, raw, "rows/s", ratios=shares, goals=goals))
    for rows in (ROWS, 10 * ROWS):
        run.report.add(Row(f"memory added by {rows:,} rows", "predict_batch", [_added_memory(model, rows)], "MiB"))


def _bare(session: onnxruntime.InferenceSession, data: np.ndarray) -> np.ndarray:
    return np.concatenate([session.run(None, {"input": data[at : at + SIZE]})[0] for at in range(0, len(data), SIZE)])


def _rate(call: Callable[[], object]) -> float:
    time.sleep(REST_S)
    started = time.perf_counter()
    call()
    return ROWS / (time.perf_counter() - started)


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
