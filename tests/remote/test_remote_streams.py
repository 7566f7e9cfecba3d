"""A model in a process of its own streams as it does here: the same items, in turns, ended when nobody wants more."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from remote_calls import WAIT_S, here, loaded, told, told_error

from foretell import Predictor
from foretell.clock import SystemClock
from foretell.columns import Batch, Bytes
from foretell.config import ModelSettings
from foretell.engine.replica import Replica
from foretell.errors import DeadlineExceeded, InferenceError, NotReady, ReplicaLost
from foretell.model import Context, Model
from foretell.remote.streaming import drawn

MODELS = '''
import os
import time
from pathlib import Path


class Talks:
    """Says each word of a text, or does what it says. Notes how each text ended."""

    def preprocess(self, text: str) -> str:
        if text == "refused":
            raise ValueError("this one is refused")
        return text

    def predict(self, text: str) -> str:
        return text.upper()

    def stream(self, text: str, ctx):
        try:
            for word in text.split():
                if word == "die":
                    os._exit(3)
                if word == "raise":
                    raise ValueError("out of luck")
                if word == "wait":
                    until = time.monotonic() + 20
                    while not ctx.cancelled() and time.monotonic() < until:
                        time.sleep(0.001)
                if word == "hang":
                    time.sleep(20)
                if word == "huge":
                    word = "a" * 2**20
                yield word
        finally:
            with open("ended", "a") as ended:
                ended.write(text + "\\n")

    def postprocess(self, text: str) -> str:
        return f"<{text}>"


def only(text: str):
    yield from text.split()
'''


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talks.py").write_text(MODELS)
    return "talks.py:Talks"


def texts(*values: str) -> Batch:
    return Batch({"text": Bytes.of(list(values))}, len(values))


def replica_of(model: Model) -> Replica:
    return Replica(model, ModelSettings(), SystemClock(), "model 'model'")


def items(model: Model, batch: Batch, ctx: Context | None = None) -> Generator[Batch]:
    return replica_of(model).stream(batch, ctx or Context(), contextlib.nullcontext())


def outcome(model: Model, batch: Batch) -> list[Any]:
    """Every item, and the error at the end."""
    got: list[Any] = []
    try:
        for piece in items(model, batch):
            got.append(told(piece))
    except InferenceError as error:
        got.append(told_error(error))
    return got


def test_the_same_items_and_the_same_errors(source: str) -> None:
    with loaded(source) as there, here(source) as model:
        assert there.spec.streams and not there.only_streams
        for text in ("a b c", "", "a raise b", "refused", "a huge b huge", "日本 \0"):
            assert outcome(there, texts(text)) == outcome(model, texts(text)), text
        assert outcome(there, texts("a", "b")) == outcome(model, texts("a", "b"))
        assert told(there.predict(texts("abc"), Context())) == told(replica_of(model).run(texts("abc"), Context()))
    with loaded("talks.py:only") as there:
        assert there.only_streams
        assert len(outcome(there, texts("a b"))) == 2


def test_streams_and_calls_take_turns_in_one_process(source: str) -> None:
    with loaded(source) as model:
        first, second = items(model, texts("a b c")), items(model, texts("d huge e"))
        got = [next(first), next(second), next(second), next(first)]
        answer = model.predict(texts("x"), Context())
        rest = [*first, *second]
        assert [len(piece.columns["output"].items()[0]) for piece in (*got, *rest)] == [3, 3, 2**20 + 2, 3, 3, 3]  # type: ignore[union-attr]
        assert answer.columns["output"].items() == [b"<X>"]  # type: ignore[union-attr]


def test_a_stream_that_nobody_wants_any_more_is_closed_in_its_process(source: str, tmp_path: Path) -> None:
    with loaded(source) as model:
        pieces = items(model, texts("a b c"))
        next(pieces)
        assert not (tmp_path / "ended").exists()
        pieces.close()
        assert (tmp_path / "ended").read_text() == "a b c\n"
        assert len(outcome(model, texts("d e"))) == 2


def test_streams_that_are_open_end_with_the_model(source: str, tmp_path: Path) -> None:
    with loaded(source) as model:
        pieces = [items(model, texts(text)) for text in ("a b", "c d")]
        for each in pieces:
            next(each)
    assert sorted((tmp_path / "ended").read_text().split("\n")) == ["", "a b", "c d"]
    with pytest.raises(NotReady, match="closed"):
        next(pieces[0])


def test_a_step_learns_that_nobody_waits(source: str) -> None:
    gone = threading.Event()
    with loaded(source) as model, ThreadPoolExecutor(1) as pool:
        pieces = model.stream(texts("a wait b"), Context(cancelled=gone.is_set))
        next(pieces)
        step = pool.submit(next, pieces, None)
        gone.set()
        step.result(WAIT_S)  # else it would wait on
        pieces.close()
        assert len(outcome(model, texts("d e"))) == 2


def test_a_stream_whose_time_is_up_is_not_taken_for_a_whole_one(source: str) -> None:
    with loaded(source) as model:
        pieces = model.stream(texts("a wait b"), Context(deadline=time.monotonic() + 0.3))
        with pytest.raises(DeadlineExceeded, match="the time limit passed while the model worked"):
            list(pieces)
        assert len(outcome(model, texts("d e"))) == 2


def test_a_process_that_ends_in_a_step(source: str) -> None:
    with loaded(source) as model:
        other = items(model, texts("x y"))
        next(other)
        pieces = items(model, texts("a die b"))
        next(pieces)
        for each in (pieces, other):
            with pytest.raises(ReplicaLost, match="its process ended with exit code 3; try again"):
                next(each)
        assert model.lost


def test_a_step_that_hangs(source: str) -> None:
    with loaded(source, call_timeout_s=0.5) as model:
        pieces = items(model, texts("a hang b"))
        next(pieces)
        with pytest.raises(ReplicaLost, match=r"took longer than 0\.5 s for a call"):
            next(pieces)
        assert model.loss == "hung"


def test_a_predictor_streams_from_a_process(source: str) -> None:
    with Predictor("talks.py:Talks", executor="process") as predictor:
        assert list(predictor.stream("a b")) == ["<a>", "<b>"]
        assert predictor.predict("a b") == "<A B>"


def test_whatever_ends_a_stream_but_its_end_is_told_to_the_process() -> None:
    told: list[str] = []

    def step(begins: bool) -> Batch | None:
        told.append("begins" if begins else "goes on")
        if len(told) == 3:
            raise MemoryError
        return texts("a")

    def stop() -> None:
        told.append("stop")
        raise ReplicaLost("it is gone, too")

    pieces = drawn(step, stop)
    next(pieces)
    pieces.close()
    assert told == ["begins", "stop"]
    with pytest.raises(MemoryError):
        list(drawn(step, stop))
    assert told == ["begins", "stop", "begins", "stop"]
    assert list(drawn(lambda begins: texts("a") if begins else None, stop))
    assert told[4:] == []
