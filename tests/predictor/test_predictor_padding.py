"""Sentences of different length in this process: every way to ask gives the answer of the sentence alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoder import encoder
from onnx_build import save

from foretell.columns import Batch, Bytes
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.errors import InferenceError
from foretell.forms import to_python
from foretell.predictor import BasePredictor, Predictor

PAD = {"input_ids": 0.0, "attention_mask": 0.0}
LENGTHS = [9, 3, 10, 12, 1, 9, 40, 11, 2, 41, 10]
TOLERANCE = 2e-5
Row = dict[str, Any]


def sentence(length: int) -> Row:
    ids = (np.arange(length) * 7 + length) % 99 + 1
    return {"input_ids": ids.tolist(), "attention_mask": [1] * length}


ROWS = [sentence(length) for length in LENGTHS]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(save(encoder(), tmp_path))


def assert_same(got: Any, alone: list[Row]) -> None:
    rows = [{name: got[name][at] for name in got} for at in range(len(alone))] if isinstance(got, dict) else list(got)
    for row, expected in zip(rows, alone, strict=True):
        for name, values in expected.items():
            assert np.shape(row[name]) == np.shape(values), name
            np.testing.assert_allclose(row[name], values, atol=TOLERANCE)


async def _gathered(predictor: Predictor) -> list[Any]:
    return await asyncio.gather(*[predictor.apredict(row) for row in ROWS])


def _many(predictor: Predictor) -> Any:
    return predictor.predict_batch(ROWS * 40)[-len(ROWS) :]


WAYS: dict[str, Callable[[Predictor], Any]] = {
    "predict": lambda predictor: predictor.predict(ROWS),
    "predict_batch": lambda predictor: predictor.predict_batch(ROWS),
    "predict_batch in calls of 3": lambda predictor: predictor.predict_batch(ROWS, batch_size=3),
    "predict_batch ahead": lambda predictor: predictor.predict_batch(ROWS, batch_size=3, num_workers=2),
    "an iterator": lambda predictor: predictor.predict_batch(iter(ROWS), batch_size=4),
    "with row errors": lambda predictor: predictor.predict_batch(ROWS, on_row_error=lambda row, error: None),
    "apredict": lambda predictor: asyncio.run(_gathered(predictor)),
    "columns": lambda predictor: predictor.predict({name: [row[name] for row in ROWS] for name in PAD}),
    "many": _many,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_answer_of_the_sentence_alone(path: str, way: str) -> None:
    with Predictor(path) as plain:
        alone = [plain.predict(row) for row in ROWS]
    with Predictor(path, pad=PAD) as predictor:
        assert_same(WAYS[way](predictor), alone)


def test_without_pad_rows_of_different_length_are_refused(path: str) -> None:
    with Predictor(path) as predictor, pytest.raises(InferenceError, match="pad input_ids=0"):
        predictor.predict(ROWS)


def test_what_a_hook_makes_is_filled_up_in_a_server_too(path: str) -> None:
    """A tokenizer before the model: text goes in, rows of different length come out."""

    class Text(BasePredictor):
        def preprocess(self, data: Any) -> Any:
            ids = [[ord(letter) % 99 + 1 for letter in text] for text in data]
            return {"input_ids": ids, "attention_mask": [[1] * len(each) for each in ids]}

    words = ["anybody", "sentence", "nobody", "a"]
    with Text(path, pad=PAD) as predictor:
        alone = [{name: values[0] for name, values in predictor.predict([word]).items()} for word in words]
        assert_same(predictor.predict(words), alone)
        engine = Engine(predictor.__foretell_model__(ModelSettings()), ModelSettings()).load()
        answer = engine.run(Batch({"text": Bytes.of(words)}, len(words)))
        assert_same({name: to_python(column) for name, column in answer.columns.items()}, alone)
        engine.close()


def test_a_model_in_a_process_of_its_own_is_filled_up_as_well(path: str) -> None:
    with Predictor(path) as plain:
        alone = [plain.predict(row) for row in ROWS]
    with Predictor(path, pad=PAD, executor="process") as predictor:
        assert_same(predictor.predict(ROWS), alone)
        assert_same(asyncio.run(_gathered(predictor)), alone)
