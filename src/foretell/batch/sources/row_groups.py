"""Which groups of rows of a Parquet file may hold a row that is asked for, by the statistics in its foot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np

from foretell.batch.job import Condition
from foretell.batch.moments import moment_of
from foretell.batch.where import may_hold


def may_match(group: Any, conditions: Sequence[Condition]) -> bool:
    """False only where no row of the group can be asked for. `group`: the metadata of a group of rows."""
    chunks = {chunk.path_in_schema: chunk for chunk in (group.column(at) for at in range(group.num_columns))}
    return all(_may_hold(chunks.get(each.column), each) for each in conditions)


def _may_hold(chunk: Any, condition: Condition) -> bool:
    statistics = chunk.statistics if chunk is not None else None
    if statistics is None:
        return True
    if not statistics.has_min_max:
        # A group of nulls only; a null is never asked for. NaN have no statistics either, so floats are looked at.
        return not (statistics.has_null_count and statistics.null_count == chunk.num_values)
    if "nanoseconds" in str(statistics.logical_type):
        return True  # Python has no such times
    least, most = statistics.min, statistics.max
    op, value = condition.op, condition.value
    if isinstance(least, bool):
        return may_hold(least, most, op, value)
    if isinstance(least, date):
        return may_hold(moment_of(least), moment_of(most), op, _each(moment_of, value))
    first = value[0] if isinstance(value, tuple) else value
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (least, most, first))
    if not numbers and not all(isinstance(each, str) for each in (least, most, first)):
        return True
    if chunk.physical_type == "FLOAT":  # as rows are compared: with the value as a float of their size
        value = _each(_single, value)
    return may_hold(least, most, op, value)


def _each(made: Callable[[Any], Any], value: Any) -> Any:
    return tuple(map(made, value)) if isinstance(value, tuple) else made(value)


def _single(value: Any) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))
