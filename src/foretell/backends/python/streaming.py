"""A function of the user that answers in pieces: how to tell one, how to call it, and what a piece is."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator, Mapping, Sequence, Sized
from functools import partial
from typing import Any

import numpy as np

from foretell.backends.python.answers import Answer, finished, one_value, read_answer
from foretell.backends.python.arguments import arguments
from foretell.backends.python.stage import Stage, raised
from foretell.backends.text_rows import rows_without_text
from foretell.columns import Batch
from foretell.errors import InferenceError, InvalidInput, ModelError, rows_failed
from foretell.model import Context
from foretell.types import TensorSpec

_SCALARS = (str, bytes, bool, int, float, np.generic)


def yields(function: object) -> bool:
    """Whether `function` is written with `yield`, also behind `partial`, decorators and `__call__`."""
    target: Any = function
    while isinstance(target, partial):
        target = target.func
    target = inspect.unwrap(target)
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        target = getattr(type(target), "__call__", None)  # noqa: B004 (the function itself is wanted)
    return inspect.isgeneratorfunction(target)


def stream(stage: Stage, batch: Batch, ctx: Context, specs: Sequence[TensorSpec] | None) -> Generator[Answer]:
    """What the function yields, each piece read by itself: rows of an array or a list, a single value, or a dict of
    such by output; where the function works on one row, a piece is one value of each output.

    Raises what the function raises as `Stage.run` does, and `InvalidInput` for several rows where it takes one.
    Closing it closes what the function gave.
    """
    bad = rows_without_text(batch, stage.signature.texts())
    if bad:
        raise rows_failed(bad)
    if stage.one_row and batch.rows != 1:
        what = "it streams the answer to one row"
        raise InvalidInput(what, where=stage.where, got=f"{batch.rows} rows", fix="ask for each row by itself")
    positional, named = arguments(stage.signature, batch, ctx, one_row=stage.one_row)
    items: Any = None
    try:
        items = _iterator(finished(stage.function(*positional, **named), stage.where), stage.where)
        for returned in items:
            yield _read(returned, stage.one_row, specs, stage.where)
    except InferenceError:
        raise
    except Exception as error:
        raise raised(error, stage.where, stage.transient) from error
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _iterator(returned: Any, where: str) -> Iterator[Any]:
    if isinstance(returned, (str, bytes, Mapping)) or not hasattr(returned, "__iter__"):
        expected, got = "a generator", type(returned).__name__
        fix = "write it with yield"
        raise ModelError("what it gave is no stream", where=where, expected=expected, got=got, fix=fix)
    return iter(returned)


def _read(returned: Any, one_row: bool, specs: Sequence[TensorSpec] | None, where: str) -> Answer:
    if isinstance(returned, Batch):
        return read_answer(returned, returned.rows, specs, where)
    if one_row or isinstance(returned, _SCALARS):
        return read_answer(one_value(returned), 1, specs, where)
    if isinstance(returned, Mapping):
        returned = {name: [value] if isinstance(value, _SCALARS) else value for name, value in returned.items()}
    return read_answer(returned, _rows(returned), specs, where)


def _rows(returned: Any) -> int:
    """Of a piece whose function says how many rows it has by what it is."""
    first = next(iter(returned.values()), None) if isinstance(returned, Mapping) else returned
    if isinstance(first, np.ndarray):
        return len(first) if first.ndim else 1
    return len(first) if isinstance(first, Sized) else 0
