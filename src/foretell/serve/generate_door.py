"""One version of a streaming model at the HTTP door: the routes of Triton's generate extension."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from foretell.engine.streams import streams_of
from foretell.errors import InferenceError, InvalidInput
from foretell.serve.codecs.generate import GenerateCodec
from foretell.serve.exchange import Exchange
from foretell.serve.explain import asks
from foretell.serve.stream_reply import EventStream, SingleAnswer, StreamReply

if TYPE_CHECKING:
    from foretell.serve.model_door import ModelDoor


class GenerateDoor:
    """The streams of one model version."""

    def __init__(self, door: ModelDoor) -> None:
        self._door, self.application = door, door.application
        self.engine = engine = door.served.engine
        served, settings = door.served, door.application.settings
        self.where = f"model {served.name!r}"
        self.stream_path = stream_path(served.name)
        self.codec = GenerateCodec(served.name, served.version, lambda: engine.spec, self.where, settings)
        self.clock, self.now = engine.clock, engine.clock.monotonic
        self.timeout_s = min(settings.stream_timeout_s, engine.settings.timeout_s or settings.stream_timeout_s)
        self.item_timeout_s = settings.request_timeout_s

    @property
    def retired(self) -> bool:
        return self._door.retired

    def once(self, exchange: Exchange) -> None:
        """POST .../generate"""
        self._begin(exchange, SingleAnswer)

    def stream(self, exchange: Exchange) -> None:
        """POST .../generate_stream"""
        self._begin(exchange, EventStream)

    def make(self, kind: type[StreamReply]) -> Callable[..., StreamReply]:
        """What stands for the next stream of this kind."""
        return kind

    def refused(self, exchange: Exchange, error: InferenceError) -> None:
        """Counts a stream that never came to the engine."""
        self.engine.recorder.failed(error.code)

    def _begin(self, exchange: Exchange, kind: type[StreamReply]) -> None:
        if self.retired:
            self.application.handle(exchange)
            return
        if b"content-encoding" in exchange.headers:
            again = self.stream if kind is EventStream else self.once
            self.application.unpacker.unpack(exchange, again, self.engine.recorder.failed)
            return
        try:
            streams = streams_of(self.engine.streams, self.where)
            request = self.codec.decode(exchange.body)
            if asks(exchange.headers):
                raise InvalidInput(
                    "a stream does not explain itself", where="header Foretell-Explain", fix="leave it out"
                )
        except InferenceError as error:
            self.refused(exchange, error)
            raise
        if self.application.room is not None:
            self.application.room.note((self._door.served.name, self._door.served.version))
        reply = self.make(kind)(exchange, request, self)
        exchange.work = reply
        try:
            streams.begin(reply.call)
        except InferenceError as error:
            reply.fail(error)


def stream_path(model: str) -> str:
    """Where a client asks for the stream of a model."""
    return f"/v2/models/{model}/generate_stream"
