"""Sentences through an encoder: batches by length, in the order of the data, beside batches in order of arrival."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq

from benchmarks.run import Run
from benchmarks.scoring.check import files
from benchmarks.scoring.contest import Contestant, Task, contest, out_of
from benchmarks.scoring.ours import OURS, needs_score, score
from benchmarks.scoring.sentences import encoder_and_tokens

COUNT, QUICK_COUNT = 2000, 500
ARRIVAL, LENGTH = "script, as they arrive", "script, by length"
_SCRIPT = Path(__file__).parent / "peers" / "text_script.py"
_FLAGS = ("--key", "id", "--pad", "input_ids=0,attention_mask=0")
_LOOKED_AT = 50


def main(run: Run) -> None:
    count = QUICK_COUNT if run.quick else COUNT
    run.report.title("scoring.text", f"{count:,} sentences, as tokens, through MiniLM")
    model, source = encoder_and_tokens(run.folder, count)
    script: list[str | Path] = [sys.executable, _SCRIPT, model, source, out_of(run)]
    every = [Contestant(ARRIVAL, script), Contestant(LENGTH, [*script, "--order", "length"])]
    with run.unless_unavailable(OURS):
        needs_score()
        every.insert(0, Contestant(OURS, score(model, source, out_of(run), *_FLAGS)))

    def check(out: Path) -> None:
        _check(model, source, out)

    contest(run, Task(f"{count:,} sentences", count, "sentences", check, {ARRIVAL: 2.2}), every)


def _check(model: Path, source: Path, out: Path) -> None:
    """Raises RuntimeError where rows are missing or moved, or where padding changed what a row is."""
    answers = [pq.ParquetFile(part).read() for part in files(out)]
    ids = np.concatenate([answer["id"].to_numpy() for answer in answers])
    rows = pq.ParquetFile(source).read()
    if not np.array_equal(ids, rows["id"].to_numpy()):
        raise RuntimeError("the output is not in the order of the data")
    session = onnxruntime.InferenceSession(str(model))
    alone = [
        session.run(None, {name: np.array([rows[name][at].as_py()]) for name in ("input_ids", "attention_mask")})[0][0]
        for at in range(_LOOKED_AT)
    ]
    if not np.allclose(answers[0]["embedding"].slice(0, _LOOKED_AT).to_pylist(), alone, atol=1e-5):
        raise RuntimeError("sentences have other embeddings than they have alone")
