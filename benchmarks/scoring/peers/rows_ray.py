"""The same job in Ray Data. Run by the Python of Ray's environment: rows_ray.py MODEL DATA OUT TEMPORARY [SETTINGS].

SETTINGS is JSON, see `_SETTINGS`. Ray listens on loopback only.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import ray

_SETTINGS: dict[str, Any] = {"cpus": 2, "actors": 2, "actor_cpus": 0.5, "batch": 10_000, "blocks": 40}
_FEATURES = [f"f{i}" for i in range(20)]


class Scorer:
    def __init__(self, model: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options)
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = np.column_stack([batch[name].to_numpy() for name in _FEATURES])
        columns = {"id": batch["id"]}
        for name, output in zip(self._names, self._session.run(None, {"input": rows}), strict=True):
            many = output.ndim > 1
            columns |= {f"{name}_{i}": column for i, column in enumerate(output.T)} if many else {name: output}
        return pa.table(columns)


def main(model: str, source: str, out: str, temporary: str, changes: str = "{}") -> None:
    settings = _SETTINGS | json.loads(changes)
    ray.init(
        address="local", num_cpus=settings["cpus"], include_dashboard=False, log_to_driver=False,
        _node_ip_address="127.0.0.1", _temp_dir=temporary,
    )  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.read_parquet(source, columns=["id", *_FEATURES], override_num_blocks=settings["blocks"])
    scored = rows.map_batches(
        Scorer, fn_constructor_args=(model,), batch_size=settings["batch"], batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=settings["actors"]), num_cpus=settings["actor_cpus"],
        zero_copy_batch=True,
    )  # fmt: skip
    scored.write_parquet(out)
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
