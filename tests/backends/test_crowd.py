"""Calls at the same time: whoever comes into a crowd gets the runtime of few threads, which is opened once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx_build import identity, save

from foretell.backends import open_model
from foretell.backends.crowd import Crowd
from foretell.columns import Batch, Dense
from foretell.config import ModelSettings
from foretell.model import Context, Model

AT_ONCE = 8
WAIT_S = 20.0


def test_one_after_the_other_they_have_all_threads() -> None:
    crowd = Crowd("wide", lambda: pytest.fail("nobody needs it"), calls_at_once=2)
    for _ in range(3):
        assert crowd.enter() == "wide"
        crowd.leave()


def test_from_half_of_them_on_each_has_its_own_and_when_they_have_gone_all_again() -> None:
    opened: list[None] = []
    crowd = Crowd("wide", lambda: opened.append(None) or "narrow", calls_at_once=AT_ONCE)
    assert [crowd.enter() for _ in range(AT_ONCE)] == ["wide"] * 4 + ["narrow"] * 4
    for _ in range(5):
        crowd.leave()
    assert [crowd.enter(), crowd.enter()] == ["wide", "narrow"]
    assert len(opened) == 1


def test_where_it_cannot_be_had_nobody_asks_again() -> None:
    asked: list[None] = []

    def narrow() -> str:
        asked.append(None)
        raise MemoryError

    crowd = Crowd("wide", narrow, calls_at_once=2)
    assert [crowd.enter() for _ in range(4)] == ["wide"] * 4
    assert len(asked) == 1


def test_nobody_waits_while_somebody_opens_it() -> None:
    opening, opens = threading.Event(), threading.Event()

    def narrow() -> str:
        opening.set()
        assert opens.wait(WAIT_S)
        return "narrow"

    crowd = Crowd("wide", narrow, calls_at_once=2)
    crowd.enter()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(crowd.enter)
        assert opening.wait(WAIT_S)
        assert crowd.enter() == "wide"
        opens.set()
        assert second.result(WAIT_S) == "narrow"
    assert crowd.enter() == "narrow"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("happens", [lambda path: None, Path.unlink, lambda path: path.write_bytes(b"another")])
def test_calls_of_many_threads_are_answered_whatever_becomes_of_the_file(
    runtime: str, threads: int, happens: Callable[[Path], object], tmp_path: Path
) -> None:
    path = save(identity(["N", 64]), tmp_path)
    model = open_model(path, ModelSettings(runtime=runtime, threads=threads)).model
    model.load("cpu")
    happens(path)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(pool.map(lambda seed: _is_right(model, seed), range(200)))
    model.close()


def _is_right(model: Model, seed: int) -> bool:
    rows = np.random.default_rng(seed).normal(size=(seed % 40 + 1, 64)).astype(np.float32)
    (answer,) = model.predict(Batch({"x": Dense(rows)}, len(rows)), Context()).columns.values()
    return isinstance(answer, Dense) and np.array_equal(answer.data, rows)
