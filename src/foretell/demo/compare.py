"""The same rows asked in four ways, each measured and each compared with the first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.demo.answers import Answers, compare, gather
from foretell.demo.client import Replies, ask, read_answer, request_body
from foretell.demo.task import Task
from foretell.errors import ModelError
from foretell.predictor import Predictor

ONE_BY_ONE = "one by one, in process"
BATCH = "one batch, in process"
HTTP = "one by one, HTTP"
_WARM_UP = 20
_BATCH_CALLS = 11


@dataclass(frozen=True, slots=True)
class Measured:
    """`p50_ms` and `p99_ms` are of a call; a call is one row, but all rows in a batch.

    `largest_difference` is against one by one in process, over every number of every row; `labels_differ` counts rows.
    """

    model: str
    way: str
    rows: int
    calls: int
    p50_ms: float
    p99_ms: float
    rows_per_s: float
    largest_difference: float
    labels_differ: int


def in_process(task: Task, predictor: Predictor) -> tuple[list[Measured], Answers]:
    """One row at a time, and all in one call; with the answers to the former."""
    rows = [row for _ in range(task.rounds) for row in task.rows]
    for row in rows[:_WARM_UP]:
        predictor.predict(row)
    answers, seconds = zip(*[_timed(predictor.predict, row) for row in rows], strict=True)
    reference = gather(answers)
    one_by_one = _measured(task, ONE_BY_ONE, reference, reference, len(rows), seconds, sum(seconds))
    everything = task.first(len(rows))
    calls = [_timed(predictor.predict_batch, everything) for _ in range(_BATCH_CALLS)]
    lasted = [each for _, each in calls]
    batch = _measured(task, BATCH, reference, gather(calls[-1][0]), len(rows), lasted, float(np.median(lasted)))
    return [one_by_one, batch], reference


def over_http(
    task: Task, predictor: Predictor, reference: Answers, address: tuple[str, int], connections: int
) -> Iterator[Measured]:
    """One row a request: one after the other, then `connections` of them at a time."""
    tensors = predictor.spec.inputs
    if tensors is None:
        raise ModelError("the model does not tell its input", where=task.name)
    bodies = [request_body(tensors[0], row) for _ in range(task.rounds) for row in task.rows]
    for count, way in ((1, HTTP), (connections, f"{connections} at a time, HTTP")):
        yield _from_replies(task, way, reference, ask(address, task.name, bodies, count))


def _from_replies(task: Task, way: str, reference: Answers, replies: Replies) -> Measured:
    answers = gather([read_answer(body) for body in replies.bodies])
    return _measured(task, way, reference, answers, len(replies.bodies), replies.seconds, replies.total_s)


def _measured(
    task: Task, way: str, reference: Answers, answers: Answers, rows: int, seconds: Any, for_all_rows_s: float
) -> Measured:
    difference = compare(reference, answers)
    p50_ms, p99_ms = (float(each) for each in np.percentile(seconds, [50, 99]) * 1000)
    return Measured(
        model=task.name,
        way=way,
        rows=rows,
        calls=len(seconds),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        rows_per_s=rows / for_all_rows_s,
        largest_difference=difference.largest,
        labels_differ=difference.rows,
    )


def _timed(call: Any, argument: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    answer = call(argument)
    return answer, time.perf_counter() - started
