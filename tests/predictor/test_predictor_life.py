"""Predictors that nobody closes, that are forked, copied and pickled."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import forking
import numpy as np
import pytest
from children import children
from onnx_build import identity, save

from foretell import BasePredictor, InvalidModel, NotReady, Predictor

WAIT_S = 20.0
ROWS = np.float32([[1, 2], [3, 4]])


def double(x: np.ndarray) -> np.ndarray:
    return x * 2


class Halves(BasePredictor):
    def __init__(self) -> None:
        super().__init__(double, example=ROWS)

    def postprocess(self, outputs: Any) -> Any:
        return outputs / 4


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    return save(identity([None, 2]), tmp_path)


async def one(predictor: Predictor) -> Any:
    return await predictor.apredict(ROWS)


@pytest.mark.parametrize("options", [{}, {"timeout_s": 60.0}, {"call_timeout_s": 60.0, "replicas": 2}], ids=str)
def test_a_predictor_that_nobody_has_any_more_takes_its_model_and_threads_along(
    options: dict[str, Any], onnx_file: Path
) -> None:
    before = set(threading.enumerate())
    predictor = Predictor(onnx_file, **options)
    predictor.predict(ROWS)
    asyncio.run(one(predictor))
    model, threads = weakref.ref(predictor.engine.model), set(threading.enumerate()) - before
    del predictor
    for thread in threads | (set(threading.enumerate()) - before):
        thread.join(WAIT_S)
        assert not thread.is_alive()
    if not options:
        assert model() is None, "at once, and not a collection later"
    gc.collect()
    assert model() is None


def test_a_live_object_stays_its_owners() -> None:
    class Closes:
        closed = False

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x

        def close(self) -> None:
            self.closed = True

    model = Closes()
    predictor = Predictor(model, timeout_s=60.0)
    before = set(threading.enumerate())
    predictor.predict(ROWS)
    (thread,) = set(threading.enumerate()) - before
    del predictor
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert not model.closed


def test_a_process_ends_with_who_asked_it() -> None:
    predictor = Predictor("remote_models:bare", executor="process")
    (child,) = children()
    del predictor
    child.wait(WAIT_S)


def test_a_fork_opens_the_model_again_or_says_why_not(onnx_file: Path) -> None:
    command = [sys.executable, "-W", "ignore", forking.__file__, str(onnx_file)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, timeout=120, check=True)
    refused = (
        "NotReady: model 'model': the process was forked after this predictor was made, and threads of its runtime did "
        "not come along; make the predictor in each process, after the fork, or give executor = 'process'"
    )
    assert json.loads(ran.stdout) == {
        "python": True,
        "process": True,
        "onnx": [refused, None, "NotReady: model 'model': the model is closed"],
    }


def test_copies_open_the_model_themselves(onnx_file: Path) -> None:
    with Predictor(onnx_file, name="mine", batch_size=1) as first:
        for second in (copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
            with second:
                assert second.identity == first.identity
                assert second.predict(ROWS)["y"].tolist() == ROWS.tolist()
            with pytest.raises(NotReady):
                second.predict(ROWS)
        kept = pickle.dumps(first)
    with pickle.loads(pickle.dumps(Halves())) as halves:
        assert halves.predict(ROWS).tolist() == (ROWS / 2).tolist()
    save(identity([None, None]), onnx_file.parent)
    with pytest.raises(InvalidModel, match="not the one that the predictor was made from"):
        pickle.loads(kept)
