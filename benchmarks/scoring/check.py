"""Whether an output is right: each key once, and at both ends the scores that ONNX Runtime itself gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.scoring.data import FEATURES, KEY

_LOOKED_AT = 1000
_TOLERANCE = 1e-6


def check_rows(model: Path, source: Path, out: Path, rows: int) -> None:
    """Raises RuntimeError where `out` does not hold each of the keys 0 to `rows` - 1 once, or wrong probabilities."""
    parts = files(out)
    seen = np.zeros(rows, np.uint8)
    for part in parts:
        np.add.at(seen, pq.ParquetFile(part).read([KEY]).column(0).to_numpy(), 1)
    if not (seen == 1).all():
        raise RuntimeError(f"{np.count_nonzero(seen == 0)} rows are missing and {np.count_nonzero(seen > 1)} doubled")
    sources = files(source)
    for part in (sources[0], sources[-1]):
        _check_scores(model, part, parts)


def files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.parquet"))


def _check_scores(model: Path, source: Path, parts: list[Path]) -> None:
    file = pq.ParquetFile(source)
    table = file.read_row_group(0).slice(0, _LOOKED_AT)
    rows = np.column_stack([table[name].to_numpy() for name in FEATURES])
    expected = onnxruntime.InferenceSession(str(model)).run(["probabilities"], {"input": rows})[0]
    wanted = table[KEY].to_numpy()
    found = 0
    for part in parts:
        for group in range(pq.ParquetFile(part).num_row_groups):
            answers = pq.ParquetFile(part).read_row_group(group)
            at = np.flatnonzero(np.isin(answers[KEY].to_numpy(), wanted))
            if not len(at):
                continue
            picked = answers.take(at)
            order = np.searchsorted(wanted, picked[KEY].to_numpy())
            if not np.allclose(_probabilities(picked), expected[order], atol=_TOLERANCE):
                raise RuntimeError(f"{part.name} holds wrong probabilities")
            found += len(at)
    if found != len(wanted):
        raise RuntimeError(f"{found} of {len(wanted)} rows were found")


def _probabilities(table: pa.Table) -> np.ndarray:
    """Of one column of lists, or of a column for each class."""
    if "probabilities" in table.column_names:
        return np.array(table["probabilities"].to_pylist(), np.float32)
    return np.column_stack([table[f"probabilities_{i}"].to_numpy() for i in range(2)])
