"""A model in a process of its own gives what it gives here: answers, errors, failed rows, what it says of itself."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from engine_models import rows
from remote_calls import here, loaded, outcome, remote, told_error

from foretell.backends import open_model
from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.errors import Cancelled, DeadlineExceeded, InferenceError, RowError
from foretell.model import Context, Sequence

NUMBERS = {
    "some": rows(1, 2, 3),
    "negative": rows(1, -2, 3),
    "none": rows(),
    "one": rows(5),
    "nan": rows(1, float("nan"), float("inf"), -0.0),
    "null": Batch({"x": Dense(np.array([1.0, 2.0]), np.array([True, False]))}, 2),
    "failed": rows(4, 5).with_errors({0: RowError("model_error", "came so", 2)}),
    "integers": Batch.of(x=np.array([1, 2], np.int8)),
    "swapped": Batch.of(x=np.array([1.0, 2.0], ">f8")),
    "wide": Batch.of(x=np.ones((2, 2))),
    "misnamed": Batch.of(xx=np.ones(2)),
    "two": Batch.of(x=np.ones(2), z=np.ones(2)),
    "no columns": Batch({}, 2),
    "uneven": Batch({"x": Dense(np.ones(3))}, 2),
    "text": Batch({"x": Bytes.of(["a", "b"])}, 2),
    "single": Batch({"x": Dense(np.array(1.0))}, 1),
}
OF_NUMBERS = [
    "Doubler", "opened_gate", "flaky", "own_error", "refusing", "transient", "exiting", "unicode_error", "deep",
    "no_batch", "short", "a_list", "every_row_failed", "wrong_errors", "no_columns", "whole_batch", "fixed", "one_row",
    "Stages", "KnowsDevices", "Untold", "Transients", "bare",
    "Refuses",
]  # fmt: skip


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_the_same_outcome(name: str) -> None:
    with loaded(name) as there, here(name) as model:
        for kind, batch in NUMBERS.items():
            assert outcome(there, batch) == outcome(model, batch), kind
            assert there.spec == model.spec
            assert there.bare_output == model.bare_output
        assert there.variant() == model.variant()


OTHERS: dict[str, Batch] = {
    "Pair": Batch({"a": Dense(np.ones((2, 2), np.float32)), "t": Bytes.of(["日本", "a\0b"])}, 2),
    "lengths": Batch({"texts": Bytes.of(["", "日本", None, b"\xff"])}, 4),
    "learned": Batch.of(x=np.arange(6.0).reshape(3, 2)),
    "sums": Batch({"values": Ragged(Dense(np.array([1.0, 2.0, 4.0])), np.array([0, 2, 2, 3]))}, 3),
    "words": Batch.of(x=np.zeros(2)),
    "Scores": Batch.of(x=np.ones((2, 3), np.float32)),
    "Poison": Batch.of(x=np.array([[1.0], [np.nan], [3.0]], np.float32)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_outcome_of_other_columns(name: str) -> None:
    batch = OTHERS[name]
    with loaded(name) as there, here(name) as model:
        for part in (batch, batch.slice(0, 0), batch.slice(1, 2), batch):
            assert outcome(there, part) == outcome(model, part)
            assert there.spec == model.spec
            assert there.bare_output == model.bare_output


def test_what_a_model_says_of_itself_travels_whole() -> None:
    with loaded("full_spec") as there, here("full_spec") as model:
        assert there.spec == model.spec
        assert there.spec.labels == {"y": ("a", "b")}
        assert there.spec.stateful
    with loaded("concurrent") as there, here("concurrent") as model:
        assert there.spec == model.spec.with_changes(concurrent=False)


def test_what_is_known_of_where_it_came_from_travels_too() -> None:
    with loaded("Doubler") as there:
        known, local = there.opened, open_model("remote_models:Doubler", ModelSettings())
        for name in ("name", "digest", "source", "framework", "size_bytes", "passes", "permission"):
            assert getattr(known, name) == getattr(local, name)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("NeverLoads", {}),
        ("ModelThatNeverLoads", {}),
        ("ExitsAtLoad", {}),
        ("NeedsArguments", {}),
        ("some_object", {}),
        ("Missing", {}),
        ("Doubler", {"device": "cuda"}),
        ("Doubler", {"precision": "fp16"}),
        ("bare", {"threads": 2}),
        ("missing.onnx", {}),
        ("no_such_module:Model", {}),
        ("missing.py:Model", {}),
        ("", {}),
    ],
)
def test_the_same_error_at_load(name: str, settings: dict[str, Any]) -> None:
    there = remote(name, **settings)
    with pytest.raises(InferenceError) as caught:
        there.load(settings.get("device", "cpu"))
    there.close()
    with pytest.raises(InferenceError) as local:
        source = f"remote_models:{name}" if name.isidentifier() else name
        Engine(open_model(source, ModelSettings(**settings)).model, ModelSettings(**settings)).load()
    assert type(caught.value) is type(local.value)
    assert told_error(caught.value) == told_error(local.value)


CONTEXTS = {
    "nothing": Context(),
    "params": Context(params={"a": 1, "b": [None, True, 1.5, "日本", b"\0"], "c": {"d": {}}, "big": 2**64 - 1}),
    "large": Context(params={"a": -(2**64) + 1, "b": [2**70], "c": "日本"}),
    "numbers": Context(params={"nan": float("nan"), "inf": float("-inf"), "zero": -0.0}),
    "sequence": Context(sequence=Sequence("日本", start=True)),
    "number": Context(sequence=Sequence(2**64 - 1, end=True)),
    "device": Context(device="cuda:1"),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_context_travels(name: str) -> None:
    with loaded("Everything") as there, here("Everything") as model:
        assert outcome(there, rows(1), CONTEXTS[name]) == outcome(model, rows(1), CONTEXTS[name])


@pytest.mark.parametrize("value", [(1, 2), object(), {1: 2}, np.float32(1), {"a": {"b": {3}}}])
def test_a_parameter_that_would_arrive_as_another_one_is_refused(value: Any) -> None:
    with loaded("Everything") as there:
        kind, text, *_ = outcome(there, rows(1), Context(params={"a": value}))
        assert kind.__name__ == "InvalidInput"
        assert "params['a']" in text
        assert outcome(there, rows(1))[1] == 1


def test_an_error_whose_text_is_no_text_can_be_read() -> None:
    with loaded("no_text_error") as there:
        assert outcome(there, rows(1))[1].endswith("ValueError: caf\\udce9")


def test_an_interrupt_that_a_model_raises_ends_its_call_only() -> None:
    with loaded("interrupting") as there:
        for _ in range(2):
            assert outcome(there, rows(1))[1].endswith("predict failed: KeyboardInterrupt")


def test_a_model_that_gives_up_since_the_time_is_up_is_no_caller_that_gave_up() -> None:
    with loaded("GivesUp") as model:
        with pytest.raises(DeadlineExceeded, match="the time limit passed while the model worked"):
            model.predict(rows(1), Context(deadline=time.monotonic() + 0.2))
        with pytest.raises(Cancelled):
            model.predict(rows(1), Context(cancelled=lambda: True))


def test_what_a_model_says_of_itself_is_told_once() -> None:
    with loaded("learned") as model:
        model.predict(Batch.of(x=np.ones((2, 3))), Context())
        spec = model.spec
        model.predict(Batch.of(x=np.ones((4, 3))), Context())
        assert model.spec is spec
        model.predict(Batch.of(x=np.ones((2, 5))), Context())
        assert model.spec is not spec
