"""`foretell score` of texts: calls of nearly one length, and answers in the order of the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from program import run

_MODEL = """
import numpy as np
from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.model import Model
from foretell.types import DataType, ModelSpec, TensorSpec

class Words(Model):
    # The sum of the lengths of its words, a token each, and how many there are.
    spec = ModelSpec(
        inputs=(TensorSpec("text", DataType.BYTES, ()),),
        outputs=(TensorSpec("letters", DataType.INT64, ()), TensorSpec("width", DataType.INT64, ())),
        batch="any", pad={"ids": 0},
    )

    def load(self, device):
        pass

    def preprocess(self, batch, ctx):
        words = [item.split() for item in batch.columns["text"].items()]
        offsets = np.cumsum([0, *map(len, words)])
        ids = np.array([len(word) for text in words for word in text], np.int64)
        return Batch({"ids": Ragged(Dense(ids), offsets)}, batch.rows)

    def predict(self, batch, ctx):
        ids = batch.columns["ids"].data
        with open("calls.txt", "a") as file:
            print(len(ids), ids.size, int((ids > 0).sum()), file=file)
        return Batch({"letters": Dense(ids.sum(axis=1)), "width": Dense(np.full(len(ids), ids.shape[1]))}, batch.rows)
"""
_COUNT = 2500


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`models.py`, and texts of 1 to 60 words in an order that says nothing about their length."""
    (tmp_path / "models.py").write_text(_MODEL)
    rng = np.random.default_rng(11)
    lengths = rng.integers(1, 61, _COUNT)
    lines = [" ".join("w" * size for size in rng.integers(1, 9, length)) for length in lengths]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_texts_of_nearly_one_length_share_a_call_and_answers_keep_their_order(folder: Path) -> None:
    done = run("score", "models:Words", "texts.txt", "-o", "out", "--processes", 1, cwd=folder, env=_here(folder))
    assert done.returncode == 0, done.stderr
    table = pq.read_table(folder / "out" / "data")
    lines = (folder / "texts.txt").read_text().splitlines()
    assert table["row"].to_pylist() == list(range(_COUNT))
    assert table["letters"].to_pylist() == [len(line.replace(" ", "")) for line in lines]
    calls = np.loadtxt(folder / "calls.txt", dtype=int)
    rows, values, real = calls.sum(axis=0)
    assert rows >= _COUNT
    assert values / real < 1.3  # in order of arrival it would be nearly two
    assert rows / len(calls) > 16 and calls[:, 0].max() <= 128  # neither tiny calls, nor all at once
    words = np.array([len(line.split()) for line in lines])
    assert (table["width"].to_numpy() >= words).all() and len(set(table["width"].to_pylist())) > 5


def test_each_file_of_a_folder_is_a_text(folder: Path) -> None:
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "data" / "deep" / "b.txt").write_text("four more words here\n")
    (folder / "data" / "a.txt").write_bytes(b"caf\xe9")
    (folder / "data" / "c.txt").write_text("one")
    done = run("score", "models:Words", "data", "-o", "out", "--processes", 1, cwd=folder, env=_here(folder))
    assert done.returncode == 3, done.stderr
    rows = pq.read_table(folder / "out" / "data").to_pylist()
    assert [(row["file"], row["letters"]) for row in rows] == [("c.txt", 3), ("deep/b.txt", 17)]
    assert "a.txt, byte 3: the text is not UTF-8" in (folder / "out" / "_foretell" / "quarantine.jsonl").read_text()


def _here(folder: Path) -> dict[str, str]:
    import os

    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
