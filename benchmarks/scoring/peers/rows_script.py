"""The script of rows_plain.py, tuned by measuring until nothing was left: how fast it could be at all.

python rows_script.py MODEL DATA OUT [--processes 2] [--threads 1]. No ledger: killed, it starts again at nothing.

What made it fast was measured: no dictionaries, no column chunk held whole, and nothing that makes pyarrow import
pandas (0.4 s in each process), as NumPy arrays in `pa.table` and `np.column_stack` of Arrow columns do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_BATCH_ROWS, _GROUP_ROWS = 10_000, 100_000
_BUFFER_BYTES = 65_536


def main() -> None:
    given = _parse()
    given.out.mkdir(exist_ok=True)
    others = [
        subprocess.Popen([sys.executable, *sys.argv, "--part", str(part)])
        for part in range(1, given.processes)
        if given.part is None
    ]
    _score(given, given.part or 0)
    statuses = [other.wait() for other in others]
    if any(statuses):
        sys.exit("a process failed")


def _score(given: argparse.Namespace, part: int) -> None:
    import onnxruntime
    import pyarrow as pa
    import pyarrow.parquet as pq

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given.threads
    session = onnxruntime.InferenceSession(str(given.model), options)
    path = given.out / f"part-{part}.parquet"
    unfinished = path.with_suffix(".unfinished")
    schema = pa.schema([("id", pa.int64()), *_outputs(session)])
    with pq.ParquetWriter(unfinished, schema, use_dictionary=False) as writer:
        waiting, rows = [], 0
        for batch in _batches(given, part):
            features = batch.remove_column(0).to_tensor(row_major=True).to_numpy()
            scores = [column for output in session.run(None, {"input": features}) for column in _columns(output)]
            arrays = [
                pa.Array.from_buffers(field.type, len(column), [None, pa.py_buffer(column)])
                for field, column in zip(list(schema)[1:], scores, strict=True)
            ]
            waiting.append(pa.record_batch([batch.column(0), *arrays], schema=schema))
            rows += len(features)
            if rows >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting, rows = [], 0
        writer.write_table(pa.Table.from_batches(waiting, schema=schema))
    os.replace(unfinished, path)


def _outputs(session: Any) -> Iterator[tuple[str, Any]]:
    """A field for each output of one value for a row, and for each value of those that have more."""
    import pyarrow as pa

    for output in session.get_outputs():
        datatype = {"tensor(int64)": pa.int64(), "tensor(float)": pa.float32()}[output.type]
        names = [output.name] if len(output.shape) == 1 else [f"{output.name}_{i}" for i in range(output.shape[1])]
        yield from ((name, datatype) for name in names)


def _columns(output: Any) -> Iterable[Any]:
    return [output] if output.ndim == 1 else output.T.copy()


def _batches(given: argparse.Namespace, part: int) -> Iterator[Any]:
    """Batches of this process's share of all row groups of all files."""
    import pyarrow.parquet as pq

    paths = sorted(given.data.glob("*.parquet")) if given.data.is_dir() else [given.data]
    groups = [(path, group) for path in paths for group in range(pq.ParquetFile(path).num_row_groups)]
    mine = groups[len(groups) * part // given.processes : len(groups) * (part + 1) // given.processes]
    columns = ["id", *(f"f{i}" for i in range(20))]
    for path in paths:
        wanted = [group for of, group in mine if of == path]
        if wanted:
            file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
            yield from file.iter_batches(_BATCH_ROWS, wanted, columns, use_threads=given.threads > 1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("model", "data", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
