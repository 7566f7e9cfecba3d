"""What a task of Ray does to a batch. A module of its own: so each process keeps the session that it opened once."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
import pyarrow as pa

FEATURES = [f"f{i}" for i in range(20)]


def score(batch: pa.Table, model: str) -> pa.Table:
    session = _session(model)
    rows = np.column_stack([batch[name].to_numpy() for name in FEATURES])
    columns = {"id": batch["id"]}
    for output, values in zip(session.get_outputs(), session.run(None, {"input": rows}), strict=True):
        if values.ndim > 1:
            columns |= {f"{output.name}_{i}": column for i, column in enumerate(values.T)}
        else:
            columns[output.name] = values
    return pa.table(columns)


@cache
def _session(model: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options)
