"""One tree, one sentence."""

from __future__ import annotations

import copy
import pickle

import pytest

from foretell import errors
from foretell.errors import InferenceError, MissingExtra, ModelError, RowError, causes, missing_extra, nearest


def tree(root: type[InferenceError] = InferenceError) -> list[type[InferenceError]]:
    ours = [child for child in root.__subclasses__() if child.__module__ == InferenceError.__module__]
    return [root, *(below for child in ours for below in tree(child))]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "it broke"),
        ({"where": "input 'x'"}, "input 'x': it broke"),
        ({"expected": "FP32"}, "it broke; expected FP32"),
        ({"got": 0}, "it broke; got 0"),
        ({"expected": 4, "got": 3}, "it broke; expected 4, got 3"),
        ({"fix": "send 4"}, "it broke; send 4"),
        (
            {"where": "row 2", "expected": 4, "got": 3, "fix": "send 4"},
            "row 2: it broke; expected 4, got 3; send 4",
        ),
    ],
)
def test_the_sentence_holds_what_is_known_and_no_more(fields: dict[str, object], sentence: str) -> None:
    assert str(InferenceError("it broke", **fields)) == sentence  # type: ignore[arg-type]


def test_every_code_is_one_error_s_own() -> None:
    codes = [error.code for error in tree()]
    assert len(set(codes)) == len(codes)


def test_the_docstring_shows_the_whole_tree() -> None:
    assert [error.__name__ for error in tree() if error.__name__ not in (errors.__doc__ or "")] == []


def test_only_what_may_succeed_later_is_retryable() -> None:
    assert {error.__name__ for error in tree() if error.retryable} == {
        "Overloaded",
        "NotReady",
        "OutOfMemory",
        "ReplicaLost",
        "TransientError",
    }


@pytest.mark.parametrize("error", tree())
def test_an_error_keeps_its_parts_in_another_process(error: type[InferenceError]) -> None:
    first = error("it broke", where="row 2", expected=4, got=3, fix="send 4")
    for again in (pickle.loads(pickle.dumps(first)), copy.copy(first)):
        assert type(again) is error
        assert str(again) == str(first)
        assert (again.what, again.where, again.expected, again.got, again.fix) == (
            "it broke",
            "row 2",
            "4",
            "3",
            "send 4",
        )


def test_a_row_error_carries_the_code_and_the_sentence() -> None:
    row = RowError.of(errors.ModelError("it raised", where="row 3"), attempts=2)
    assert row == RowError("model_error", "row 3: it raised", 2)


def test_rows_of_one_error_are_not_shared_with_another() -> None:
    first, second = errors.InvalidInput("bad"), errors.InvalidInput("bad")
    first.rows = {0: RowError("invalid_input", "bad")}
    assert second.rows == {}


def test_the_causes_of_an_error_end_where_it_is_its_own() -> None:
    first, second = ValueError("first"), ModelError("second")
    second.__cause__ = first
    assert list(causes(second)) == [second, first]
    first.__cause__ = second
    assert list(causes(second)) == [second, first]
    assert list(causes(None)) == []


def test_a_missing_package_names_the_extra() -> None:
    error = missing_extra("skops", "sklearn", "opening a .skops file")
    assert isinstance(error, MissingExtra)
    assert str(error) == "opening a .skops file needs the package skops; pip install 'foretell[sklearn]'"


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("max_batch_sise", ["max_batch_size", "device"], "did you mean 'max_batch_size'?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [], "there are none"),
    ],
)
def test_the_hint_names_the_nearest_or_all(name: str, known: list[str], hint: str) -> None:
    assert nearest(name, known) == hint
