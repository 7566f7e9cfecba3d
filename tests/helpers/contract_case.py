"""What a backend brings to the contract suite, and how its answers are read and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from foretell.backends.opened import Opened
from foretell.clock import SystemClock
from foretell.columns import Batch, Bytes, Column, Dense, Ragged
from foretell.engine.check import check_batch
from foretell.engine.padded_calls import PaddedCalls, pads
from foretell.model import Context, Model


@dataclass(frozen=True, kw_only=True)
class Case:
    """One real model.

    `open`: builds the artefact in the empty folder it is given and opens it. `batch`: at least four good rows that
    differ. `expected`: the right answer to each row, by output, worked out without foretell: arrays of numbers, lists
    of strings. `tolerance`: largest difference of floats.
    """

    name: str
    open: Callable[[Path], Opened]
    batch: Batch
    expected: Mapping[str, Sequence[Any]]
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Answer:
    """`rows`: the numbers of the rows that were answered; `values`: by output, one value for each of them."""

    rows: list[int]
    values: dict[str, list[Any]]
    columns: Mapping[str, Column]
    errors: Mapping[int, Any]


def ask(model: Model, batch: Batch) -> Answer:
    """Takes a batch through all stages as the engine does: checked first, failed rows leaving before each stage."""
    alive = np.arange(batch.rows)
    errors: dict[int, Any] = {}

    def leave(batch: Batch) -> Batch:
        nonlocal alive
        if not batch.errors:
            return batch
        errors.update({int(alive[row]): error for row, error in batch.errors.items()})
        good = np.array([row for row in range(batch.rows) if row not in batch.errors], np.int64)
        alive = alive[good]
        return Batch(batch.columns, batch.rows).take(good)

    batch = leave(check_batch(batch, model.spec))
    within = PaddedCalls(model, 128, SystemClock(), "model").predict if pads(model.spec) else model.predict
    for name, stage in (("preprocess", model.preprocess), ("predict", within), ("postprocess", model.postprocess)):
        rows = batch.rows
        batch = stage(batch, Context())
        assert batch.rows == rows, f"{name} changed the number of rows"
        assert all(len(column) == rows for column in batch.columns.values())
        batch = leave(batch)
    values = {name: column_values(column) for name, column in batch.columns.items()}
    return Answer(alive.tolist(), values, batch.columns, errors)


def column_values(column: Column) -> list[Any]:
    """One value for each row: arrays of numbers, str, or lists of str."""
    if isinstance(column, Dense):
        return list(column.data)
    if isinstance(column, Bytes):
        texts = np.array([item.decode("utf-8", "surrogateescape") for item in column.items()], object)
        return texts.reshape((len(column), *column.row_shape)).tolist()
    inner = column_values(column.values)
    return [np.array(inner[a:b]) for a, b in pairwise(column.offsets.tolist())]


def assert_answers(answer: Answer, case: Case, rows: Sequence[int]) -> None:
    """Row i of the call was row `rows[i]` of the case; every row that was answered has that row's answer."""
    assert set(answer.values) == set(case.expected)
    for name, values in answer.values.items():
        for at, value in zip(answer.rows, values, strict=True):
            assert_same(value, case.expected[name][rows[at]], case.tolerance, f"{name}, row {at}")


def assert_same(got: Any, want: Any, tolerance: float, where: str) -> None:
    got_array, want_array = np.asarray(got), np.asarray(want)
    assert got_array.shape == want_array.shape, where
    if got_array.dtype.kind == "f":
        np.testing.assert_allclose(got_array, want_array, rtol=tolerance, atol=tolerance, err_msg=where)
    else:
        assert got_array.tolist() == want_array.tolist(), where


def replaced(batch: Batch, name: str, column: Column) -> Batch:
    return Batch({**batch.columns, name: column}, batch.rows)


def dense_inputs(batch: Batch) -> list[tuple[str, Dense]]:
    return [(name, column) for name, column in batch.columns.items() if isinstance(column, Dense)]


def text_inputs(batch: Batch) -> list[tuple[str, Bytes]]:
    return [(name, column) for name, column in batch.columns.items() if isinstance(column, Bytes)]


def frozen(batch: Batch) -> Batch:
    """The same rows in memory that cannot be written to."""

    def lock(column: Column) -> Column:
        if isinstance(column, Ragged):
            values = lock(column.values)
            assert not isinstance(values, Ragged)
            return Ragged(values, _locked(column.offsets))
        if isinstance(column, Bytes):
            return Bytes(_locked(column.offsets), _locked(column.data), column.row_shape, column.valid)
        return Dense(_locked(column.data), column.valid)

    return Batch({name: lock(column) for name, column in batch.columns.items()}, batch.rows)


def _locked(array: np.ndarray) -> np.ndarray:
    array = array.copy(order="K")
    array.setflags(write=False)
    return array
