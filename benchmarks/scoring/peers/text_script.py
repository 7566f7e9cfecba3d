"""The straight script for sentences: batches of 32, padded to their longest, through an encoder on all cores.

python text_script.py MODEL DATA OUT [--order arrival|length]. In both orders, row n of the output is row n of the data.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

_BATCH, _THREADS = 32, 2


def main() -> None:
    given = _parse()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    session = onnxruntime.InferenceSession(str(given.model), options)
    table = pq.ParquetFile(given.data).read(["id", "input_ids"])
    tokens = table["input_ids"].to_pylist()
    lengths = np.array([len(each) for each in tokens])
    order = np.argsort(lengths, kind="stable") if given.order == "length" else np.arange(len(tokens))
    embeddings = np.empty((len(tokens), 384), np.float32)
    for start in range(0, len(tokens), _BATCH):
        rows = order[start : start + _BATCH]
        ids = np.zeros((len(rows), lengths[rows].max()), np.int64)
        for at, row in enumerate(rows):
            ids[at, : lengths[row]] = tokens[row]
        mask = (np.arange(ids.shape[1]) < lengths[rows, None]).astype(np.int64)
        embeddings[rows] = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    given.out.mkdir(exist_ok=True)
    column = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), embeddings.shape[1])
    unfinished = given.out / "part.unfinished"
    pq.write_table(pa.table({"id": table["id"], "embedding": column}), unfinished, use_dictionary=False)
    os.replace(unfinished, given.out / "part.parquet")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("model", "data", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--order", choices=["arrival", "length"], default="arrival")
    return parser.parse_args()


if __name__ == "__main__":
    main()
