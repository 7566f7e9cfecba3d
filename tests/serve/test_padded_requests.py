"""Sentences of different length over the wire: they share calls, and each gets what it gets alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from encoder import encoder
from onnx_build import save
from serving import Running, served
from wire import Answer, http

from foretell.backends.onnx.opening import open_onnx
from foretell.catalog import Served
from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.config import ModelSettings
from foretell.model import Context, Model
from foretell.observe.stats import Stats
from foretell.types import DataType, ModelSpec, TensorSpec

PAD = {"input_ids": 0.0, "attention_mask": 0.0}
LENGTHS = [9, 10, 12, 9, 11, 10, 12, 40, 41, 1]
TOLERANCE = 2e-5


def serving(folder: Path, model: onnx.ModelProto, **settings: Any) -> Served:
    known = ModelSettings(threads=1, executor="thread", **settings)
    return served(open_onnx(save(model, folder), known).model, "text", settings=known)


def sentence(length: int, binary: bool = False) -> bytes:
    """One request; its tokens follow from its length."""
    ids = (np.arange(length, dtype=np.int64) * 7 + length) % 99 + 1
    both = {"input_ids": ids, "attention_mask": np.ones(length, np.int64)}
    inputs: list[dict[str, Any]] = []
    for name, values in both.items():
        told = {"parameters": {"binary_data_size": values.nbytes}} if binary else {"data": values.tolist()}
        inputs.append({"name": name, "datatype": "INT64", "shape": [1, length], **told})
    head = json.dumps({"inputs": inputs}).encode()
    blobs = b"".join([values.tobytes() for values in both.values()]) if binary else b""
    headers = {"Inference-Header-Content-Length": len(head)} if binary else {}
    return http("POST", "/v2/models/text/infer", head + blobs, headers)


def told(answer: Answer) -> dict[str, np.ndarray]:
    assert answer.status == 200, answer.body
    return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer.json["outputs"]}


def assert_same(got: dict[str, np.ndarray], alone: dict[str, np.ndarray]) -> None:
    for name, expected in alone.items():
        assert got[name].shape == expected.shape, name
        np.testing.assert_allclose(got[name], expected, atol=TOLERANCE)


def asked_together(server: Running, requests: list[bytes]) -> list[dict[str, np.ndarray]]:
    """All in one piece, so that all are there before the first call begins."""
    with server.connect() as wire:
        wire.send(b"".join(requests))
        return [told(wire.answer()) for _ in requests]


def stats(server: Running) -> Stats:
    recorder = server.engine("text").recorder
    assert isinstance(recorder, Stats)
    return recorder


class Letters(Model):
    """A number for each letter of a text: how long an answer is nobody can tell from the shape of a request."""

    spec = ModelSpec((TensorSpec("text", DataType.BYTES, ()),), (TensorSpec("letters", DataType.INT64, (None,)),))
    calls: ClassVar[list[int]] = []

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        column = batch.columns["text"]
        assert isinstance(column, Bytes)
        found = [np.frombuffer(text, np.uint8).astype(np.int64) for text in column.items()]
        self.calls.append(batch.rows)
        offsets = np.cumsum([0, *map(len, found)])
        return Batch({"letters": Ragged(Dense(np.concatenate(found)), offsets)}, batch.rows)


def test_answers_of_different_length_share_a_call_and_are_tensors_of_their_own(serve: Any) -> None:
    server, texts = serve(served(Letters(), "text", settings=ModelSettings(executor="thread"))), ["a", "bc", "d"] * 4
    heads = [{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]} for text in texts]
    requests = [http("POST", "/v2/models/text/infer", json.dumps(head).encode()) for head in heads]
    answers = asked_together(server, requests)
    assert [answer["letters"].tolist() for answer in answers] == [[list(text.encode())] for text in texts]
    assert max(Letters.calls) > 1


def test_sentences_share_a_call_and_get_what_they_get_alone(serve: Any, tmp_path: Path) -> None:
    alone_server: Running = serve(serving(tmp_path, encoder()))
    server: Running = serve(serving(tmp_path, encoder(), pad=PAD))
    alone = [told(alone_server.ask(sentence(length))) for length in LENGTHS]
    requests = [sentence(length, binary=at % 3 == 0) for at, length in enumerate(LENGTHS)]
    for got, expected, length in zip(asked_together(server, requests), alone, LENGTHS, strict=True):
        assert got["tokens"].shape == (1, length, 32)
        assert_same(got, expected)
    assert stats(server).padded > 0
    assert stats(server).batch_rows.count < len(LENGTHS)
    assert b'foretell_padded_elements_total{model="text",version="1"} ' in server.ask(http("GET", "/metrics")).body


def test_sentences_of_a_model_that_says_nothing_are_never_filled_up(serve: Any, tmp_path: Path) -> None:
    """This one reads padding like any word: its answers would change."""
    server: Running = serve(serving(tmp_path, encoder(masked=False)))
    alone = [told(server.ask(sentence(length))) for length in LENGTHS]
    for got, expected in zip(asked_together(server, [sentence(n) for n in LENGTHS]), alone, strict=True):
        assert_same(got, expected)
    assert stats(server).padded == 0


@pytest.mark.parametrize("explain", ["true", "false"])
def test_whoever_asks_hears_of_the_padding(serve: Any, tmp_path: Path, explain: str) -> None:
    server: Running = serve(serving(tmp_path, encoder(), pad=PAD))
    asking = b"\r\nForetell-Explain: " + explain.encode() + b"\r\n"
    requests = [sentence(length).replace(b"\r\n", asking, 1) for length in (9, 10)]
    with server.connect() as wire:
        wire.send(b"".join(requests))
        answers = [wire.answer() for _ in requests]
    for answer in answers:
        timing = answer.header("server-timing")
        if explain == "true":
            assert timing is not None
            assert 'padding;desc="0 rows, 2 values"' in timing, "one id and one mask"
        else:
            assert timing is None
