"""The steps of a model's stream, one after the other, each in its turn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager

from foretell.columns import Batch
from foretell.errors import InferenceError, raise_as
from foretell.model import Context, Model

_END = object()


def steps(
    model: Model,
    batch: Batch,
    ctx: Context,
    turn: AbstractContextManager[object],
    step: AbstractContextManager[object],
    error_of: Callable[[str, BaseException], InferenceError],
) -> Generator[Batch]:
    """The pieces of `model.stream`; every piece of the model's code runs inside `turn` and `step`, its end too.

    Ends early where `ctx.cancelled()`. Raises what `error_of` makes of the model's exception. What the model raises
    when it is closed is nobody's: its stream has its end already.
    """
    items: Iterator[Batch] | None = None
    try:
        while not ctx.cancelled():
            with turn:
                if ctx.cancelled():
                    return
                try:
                    with step:
                        if items is None:
                            items = iter(model.stream(batch, ctx))
                        item = next(items, _END)
                except BaseException as error:  # also SystemExit and the like: a model ends its call, not who runs it
                    raise_as(error_of("stream", error), error)
            if item is _END:
                return
            yield item  # type: ignore[misc]
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            with turn, step, contextlib.suppress(BaseException):
                close()
