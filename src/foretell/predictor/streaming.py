"""Answers of a `Predictor` that come one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any

from foretell.columns import Batch
from foretell.engine.stream_call import StreamCall
from foretell.engine.streams import Streams, streams_of
from foretell.errors import InvalidSetting
from foretell.model import Context

if TYPE_CHECKING:
    from foretell.predictor.facade import BasePredictor


def stream(predictor: BasePredictor, data: Any) -> Generator[Any]:
    """See `BasePredictor.stream`. The model begins when the first item is asked for."""
    engine = predictor.engine
    if predictor.overrides("predict"):
        what = f"stream cannot see into the predict of {type(predictor).__name__}"
        raise InvalidSetting(what, fix="override preprocess and postprocess instead")
    streams = streams_of(engine.streams, f"model {engine.name!r}")
    intake = predictor.asked(predictor.guarded("preprocess", predictor.preprocess, data))

    def formed(piece: Batch) -> tuple[Any]:
        return (predictor.formed(piece, intake.form, intake.single and piece.rows == 1),)

    context = Context(device=engine.settings.device)
    return _items(predictor, streams, lambda: StreamCall(intake.batch, engine.limited(context), formed, engine.clock))


def _items(predictor: BasePredictor, streams: Streams, begin: Any) -> Generator[Any]:
    call: StreamCall[tuple[Any]] = begin()
    streams.begin(call)
    try:
        while (item := call.wait()) is not None:
            yield predictor.guarded("postprocess", predictor.postprocess, item[0])
    finally:
        call.cancel()


async def drawn_in_threads(items: Generator[Any]) -> AsyncIterator[Any]:
    """The items, each drawn off the loop. Closing it closes `items`."""
    end, drawing = object(), None
    try:
        while True:
            drawing = asyncio.ensure_future(asyncio.to_thread(next, items, end))
            # Shielded: a thread that draws cannot be stopped, only waited for, before the source may be closed.
            if (item := await asyncio.shield(drawing)) is end:
                return
            yield item
    finally:
        if drawing is not None:
            await asyncio.wait([drawing])
        await asyncio.to_thread(items.close)
