"""Models that do what no model should: their callers get a sentence, and nobody else notices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from served_models import Echo
from wire import http, infer, infer_body, values

from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.errors import InvalidInput, ModelError, NotReady, RowError, TransientError
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec


class Does(Model):
    """Answers its own input, unless the value of the first row says to do something else."""

    spec = ModelSpec(inputs=(TensorSpec("x", DataType.FP32, (1,)),), outputs=(TensorSpec("y", DataType.FP32, (1,)),))

    def __init__(self, action: Any) -> None:
        self.action = action

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        if batch.dense("x")[0, 0] == 0:
            answer = self.action(batch)
            if isinstance(answer, BaseException):
                raise answer
            return answer  # type: ignore[no-any-return]
        return Batch({"y": batch.columns["x"]}, batch.rows)


class DoesInline(Does):
    native = True


def y(column: Any) -> Any:
    return lambda batch: Batch({"y": column}, batch.rows)


BAD = {
    "raises": lambda batch: ValueError("no"),
    "raises without a text": lambda batch: ValueError(),
    "raises several lines": lambda batch: ValueError("one\ntwo\r\n\x00three"),
    "raises half a surrogate": lambda batch: ValueError("\ud800"),
    "raises a novel": lambda batch: ValueError("x" * 1_000_000),
    "raises in the middle of text": lambda batch: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
    "exits": lambda batch: SystemExit(3),
    "interrupts": lambda batch: KeyboardInterrupt(),
    "runs out of memory": lambda batch: MemoryError(),
    "recurses": lambda batch: RecursionError("maximum recursion depth exceeded"),
    "stops an iteration": lambda batch: StopIteration(1),
    "gives nothing": lambda batch: None,
    "gives an array": lambda batch: batch.dense("x"),
    "gives more rows": lambda batch: Batch({"y": Dense(np.zeros((5, 1), np.float32))}, 5),
    "gives no rows": lambda batch: Batch({"y": Dense(np.zeros((0, 1), np.float32))}, 0),
    "lies about its rows": y(Dense(np.zeros((7, 1), np.float32))),
    "gives objects": y(Dense(np.array([[object()]]))),
    "gives dates": y(Dense(np.array([["2020-01-01"]], "datetime64[D]"))),
    "gives complex numbers": y(Dense(np.array([[1j]]))),
    "gives text as an array": y(Dense(np.array([["a"]]))),
    "fails its row": lambda batch: Batch({}, 1, {0: RowError("model_error", "row is bad")}),
    "fails a row that is not there": lambda batch: Batch({"y": batch.columns["x"]}, 1, {9: RowError("x", "no")}),
    "is never ready": lambda batch: NotReady("not yet"),
    "finds the input invalid": lambda batch: InvalidInput("not like this"),
    "has an error of its own": lambda batch: ModelError("it broke"),
    "always wants another try": lambda batch: TransientError("try again"),
}
STATUS = {
    "runs out of memory": 503,
    "is never ready": 503,
    "finds the input invalid": 400,
    "always wants another try": 503,
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", [Does, DoesInline])
def test_what_a_model_does_wrong_is_its_callers_error_only(serve: Any, kind: type[Does], name: str) -> None:
    if kind is DoesInline and name == "interrupts":
        pytest.skip("on the loop's own thread it is a person who wants the end")
    server = serve(bad=kind(BAD[name]), echo=Echo())
    answer = server.ask(infer("bad", [0]))
    expected = STATUS.get(name, 500)
    assert answer.status == expected, answer.body[:500]
    if expected >= 400:
        assert answer.error
    assert (answer.header("retry-after") == "1") is (expected == 503)
    assert values(server.ask(infer("bad", [1]))) == [1]
    assert values(server.ask(infer("echo", [2]))) == [2]
    assert server.engine("bad").waiting_rows == 0


def test_rows_of_different_length_in_one_reply_are_an_error(serve: Any) -> None:
    server = serve(bad=Does(y(Ragged(Dense(np.zeros(3, np.float32)), np.array([0, 1, 3])))))
    answer = server.ask(infer("bad", [0, 1]))
    assert answer.status == 500
    assert "rows of different length have no tensor form; ask for each row in a request of its own" in answer.error
    assert values(server.ask(infer("bad", [1]))) == [1]


BINARY = b'{"parameters":{"binary_data_output":true},"inputs"'


@pytest.mark.parametrize("column", [Dense(np.array([[5], [7]]), np.array([True, False])), Bytes.of(["a", None], (1,))])
def test_a_null_is_no_value_in_binary_data(serve: Any, column: Any) -> None:
    """0 and an empty text are answers; JSON has null, and binary data nothing."""
    server = serve(bad=Does(y(column)))
    assert values(server.ask(infer("bad", [0, 0])))[1] is None
    answer = server.ask(http("POST", "/v2/models/bad/infer", infer_body([0, 0]).replace(b'{"inputs"', BINARY)))
    assert answer.status == 400
    assert answer.error == "output 'y': the answer has a null, which has no binary form; ask for it as JSON"


def test_a_null_of_floats_is_nan_in_binary_data(serve: Any) -> None:
    server = serve(bad=Does(y(Dense(np.ones((2, 1), np.float32), np.array([True, False])))))
    body = infer_body([0, 0]).replace(b'{"inputs"', BINARY)
    with server.connect() as wire:
        for _ in range(30):  # until it is a usual request, whose answer goes a shorter way
            answer = wire.send(http("POST", "/v2/models/bad/infer", body)).answer()
            assert np.array_equal(np.frombuffer(answer.body[-8:], "<f4"), [1, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("column", "datatype", "data"),
    [
        (Dense(np.array([[1.5]], np.float64)), "FP64", [1.5]),
        (Dense(np.array([[3]], np.int64)), "INT64", [3]),
        (Dense(np.array([[True]])), "BOOL", [True]),
        (Bytes.of(["text"], (1,)), "BYTES", ["text"]),
    ],
)
def test_an_answer_is_called_what_it_is(serve: Any, column: Any, datatype: str, data: list[Any]) -> None:
    """A model that gives another type than it said: wrong, but bytes that are misread would be worse."""
    server = serve(bad=Does(y(column)))
    (output,) = server.ask(infer("bad", [0])).json["outputs"]
    assert (output["datatype"], output["data"]) == (datatype, data)
    body = infer_body([0]).replace(b'{"inputs"', BINARY)
    binary = server.ask(http("POST", "/v2/models/bad/infer", body))
    length = int(binary.header("inference-header-content-length") or "")
    assert f'"datatype":"{datatype}"'.encode() in binary.body[:length]
    assert len(binary.body) - length == (8 if datatype in {"FP64", "INT64", "BYTES"} else 1)
