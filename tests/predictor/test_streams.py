"""`Predictor.stream`: the items of a model that streams, in this process."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from foretell import BasePredictor, Predictor
from foretell.errors import DeadlineExceeded, InvalidInput, InvalidSetting, ModelError, NotReady


def words(text: str) -> Iterator[str]:
    yield from text.split()


def steps(x: Any) -> Iterator[Any]:
    for step in range(3):
        yield x * step


def test_items_come_in_the_form_of_the_question() -> None:
    with Predictor(words) as predictor:
        assert list(predictor.stream("a b c")) == ["a", "b", "c"]
    with Predictor(steps) as predictor:
        items = list(predictor.stream(np.ones((2, 2))))
    assert [item.tolist() for item in items] == [[[step] * 2] * 2 for step in map(float, range(3))]


def test_asyncio_gets_the_same_items() -> None:
    async def draw() -> list[Any]:
        return [item async for item in predictor.astream("a b c")]

    with Predictor(words) as predictor:
        assert asyncio.run(draw()) == ["a", "b", "c"]


def test_closing_it_ends_the_generator() -> None:
    ended = threading.Event()

    def endless(text: str) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            ended.set()

    with Predictor(endless) as predictor:
        items = predictor.stream("x")
        assert [next(items), next(items)] == [0, 1]
        assert not ended.is_set()
        items.close()
        assert ended.wait(20)


def test_what_the_model_raises_comes_in_the_place_of_the_next_item() -> None:
    def failing(text: str) -> Iterator[str]:
        yield text
        raise ValueError("no more")

    with Predictor(failing) as predictor:
        items = predictor.stream("x")
        assert next(items) == "x"
        with pytest.raises(ModelError, match="ValueError: no more"):
            next(items)
        assert predictor.stats()["errors"] == {"model_error": 1}


def test_a_time_limit_holds_for_the_whole_stream() -> None:
    gate = threading.Event()

    def slow(text: str) -> Iterator[str]:
        yield text
        gate.wait(20)
        yield text

    with Predictor(slow, timeout_s=0.2) as predictor:
        items = predictor.stream("x")
        assert next(items) == "x"
        with pytest.raises(DeadlineExceeded):
            next(items)
        gate.set()


def test_one_stream_at_a_time_where_that_is_asked_for() -> None:
    with Predictor(words, max_streams=1) as predictor:
        first, second = predictor.stream("a " * 100), predictor.stream("b " * 100)
        assert next(first) == "a"
        first.close()
        assert next(second) == "b"
        second.close()


def test_hooks_stand_around_each_item() -> None:
    class Shouting(BasePredictor):
        def preprocess(self, data: Any) -> Any:
            return data.upper()

        def postprocess(self, outputs: Any) -> Any:
            return f"{outputs}!"

    with Shouting(words) as predictor:
        assert list(predictor.stream("a b")) == ["A!", "B!"]


def test_preprocess_and_postprocess_of_the_model_are_run() -> None:
    class Model:
        def preprocess(self, text: str) -> str:
            return text.upper()

        def stream(self, text: str) -> Iterator[str]:
            yield from text.split()

        def postprocess(self, text: str) -> str:
            return f"<{text}>"

    with Predictor(Model) as predictor:
        assert list(predictor.stream("a b")) == ["<A>", "<B>"]


def test_who_asks_for_the_wrong_kind_of_answer_is_told_so() -> None:
    with Predictor(words) as predictor, pytest.raises(InvalidInput, match="the model streams its answers"):
        predictor.predict("a b")
    with Predictor(lambda x: x) as whole, pytest.raises(InvalidInput, match="does not stream"):
        whole.stream([1.0])


def test_a_predictor_with_a_predict_of_its_own_does_not_stream() -> None:
    class Own(BasePredictor):
        def predict(self, data: Any) -> Any:
            return data

    with Own(words) as predictor, pytest.raises(InvalidSetting, match="cannot see into the predict of Own"):
        predictor.stream("a")


def test_a_closed_predictor_does_not_stream() -> None:
    with Predictor(words) as predictor:
        pass
    with pytest.raises(NotReady):
        next(predictor.stream("a"))


@pytest.mark.parametrize("name", ["cache_size", "slo_ms"])
def test_a_setting_that_would_do_nothing_is_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} would do nothing"):
        Predictor(words, **{name: 5})


def test_several_rows_to_a_function_of_one_row_are_refused() -> None:
    with Predictor(words) as predictor, pytest.raises(InvalidInput, match="the answer to one row"):
        list(predictor.stream(["a", "b"]))


def test_an_asynchronous_generator_is_refused() -> None:
    class Model:
        async def stream(self, text: str) -> Any:
            yield text

    with Predictor(Model) as predictor, pytest.raises(ModelError, match="asynchronous generator"):
        list(predictor.stream("a"))


def test_what_is_no_stream_is_told_so() -> None:
    class Model:
        def stream(self, text: str) -> Any:
            return 7

    with Predictor(Model) as predictor, pytest.raises(ModelError, match="expected a generator, got int"):
        list(predictor.stream("a"))
