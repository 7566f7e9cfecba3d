"""Predictors that are made, and then forked: run as a program, which prints what their children got.

No test forks in the process of all tests, where every framework has threads. Argument: an ONNX file of y = x.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from foretell import InferenceError, Predictor

ROWS = np.float32([[1, 2], [3, 4]])


def every_way(predictor: Predictor) -> list[Any]:
    async def awaited() -> Any:
        return await predictor.apredict(ROWS)

    ways = [predictor.predict(ROWS), predictor.predict_batch(ROWS, batch_size=1), asyncio.run(awaited())]
    return [np.asarray(way).tolist() for way in ways]


def in_a_fork(ask: Callable[[], object]) -> Any:
    """What `ask` gives in a child that is forked now, or the error that it raises."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = ask()
        except InferenceError as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writes, json.dumps(answer).encode())
        os._exit(0)
    os.close(writes)
    with open(reads, "rb") as pipe:
        answer = json.load(pipe)
    os.waitpid(child, 0)
    return answer


def again(*model: Any, **options: Any) -> bool:
    """Whether a child answers as its parent, and the parent afterwards as before."""
    with Predictor(*model, **options) as predictor:
        before = every_way(predictor)
        return in_a_fork(lambda: [every_way(predictor), predictor.close()]) == [before, None] and (
            every_way(predictor) == before
        )


def refused(path: str) -> list[Any]:
    """A call, and `close`, in a child; a call in a child of one that was closed."""
    predictor = Predictor(path)
    told = [in_a_fork(lambda: every_way(predictor)), in_a_fork(predictor.close)]
    every_way(predictor)
    predictor.close()
    return [*told, in_a_fork(lambda: every_way(predictor))]


if __name__ == "__main__":
    told = {
        "python": again(lambda x: x * 2, timeout_s=60.0),
        "process": again("remote_models:bare", executor="process"),
        "onnx": refused(sys.argv[1]),
    }
    print(json.dumps(told))
