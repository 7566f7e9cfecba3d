"""A predictor whose model runs in a process of its own: the same answers, and what cannot be is refused."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from children import children

from foretell import Predictor
from foretell.errors import InvalidInput, InvalidSetting, NotReady, ReplicaLost

WAIT_S = 20.0


def processes() -> list[int]:
    return [child.pid for child in children()]


def test_the_answers_are_those_of_a_model_in_this_process() -> None:
    data = np.arange(6.0).reshape(2, 3)
    with Predictor("remote_models:learned") as here, Predictor("remote_models:learned", executor="process") as there:
        assert len(processes()) == 1
        assert there.identity == here.identity
        (mine, theirs) = (predictor.predict(data) for predictor in (here, there))
        assert list(theirs) == list(mine)
        assert all(np.array_equal(theirs[name], mine[name]) for name in mine)
        assert there.spec.outputs == here.spec.outputs
    assert processes() == []


async def test_in_tasks_and_in_batches_too() -> None:
    with Predictor("remote_models:bare", executor="process") as predictor:
        assert (await predictor.apredict(np.ones((3, 1)))).tolist() == [[2.0]] * 3
        assert predictor.predict_batch(np.ones((5, 1)), batch_size=2).tolist() == [[2.0]] * 5


def test_callers_in_threads_use_all_replicas() -> None:
    with Predictor("remote_models:where", executor="process", replicas=2) as predictor:
        seen: set[int] = set()
        alarm = threading.Timer(WAIT_S, seen.update, [range(2)])
        alarm.start()
        with ThreadPoolExecutor(4) as pool:
            while len(seen) < 2:
                seen.update(int(pid[0]) for pid in pool.map(predictor.predict, [np.ones((1, 1))] * 8))
        alarm.cancel()
        assert os.getpid() not in seen
        assert seen == set(processes())


def test_much_data_uses_all_replicas() -> None:
    with Predictor("remote_models:where", executor="process", replicas=2) as predictor:
        seen: set[int] = set()
        alarm = threading.Timer(WAIT_S, seen.update, [range(2)])
        alarm.start()
        while len(seen) < 2:
            seen.update(map(int, predictor.predict_batch(np.ones((16, 1)), batch_size=2)))
        alarm.cancel()
        assert seen == set(processes())


def test_its_errors_are_its_own() -> None:
    with Predictor("ending_models:Ends", executor="process") as predictor:
        with pytest.raises(InvalidInput, match="input 'x'"):
            predictor.predict({"x": np.array(["a"])})
        with pytest.raises(ReplicaLost, match="model 'Ends': its process ended with exit code 7; try again"):
            predictor.predict({"x": np.array([1001.0])})
        with ThreadPoolExecutor(1) as pool:  # the next one is about to come
            assert pool.submit(_patient, predictor).result(WAIT_S).tolist() == [1.0]


def _patient(predictor: Predictor) -> Any:
    while True:
        try:
            return predictor.predict({"x": np.array([1.0])})["y"]
        except NotReady:
            continue


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (len, {"executor": "process"}, "executor = process needs a model that can be opened again; got a live object"),
        ("remote_models:bare", {"executor": "process", "example": [[1.0]]}, "example does not reach a model"),
        ("remote_models:bare", {"executor": "thread"}, "a predictor's calls run on the threads that make them"),
        ("remote_models:bare", {"executor": "fork"}, "executor: wrong value"),
        ("remote_models:bare", {"load_timeout_s": 3}, "load_timeout_s would do nothing without a process of its own"),
        (len, {"replicas": 2}, "replicas needs a model that can be opened again"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(model: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        Predictor(model, **options)
    assert processes() == []
