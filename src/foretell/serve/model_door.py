"""One version of a model at the HTTP door: its requests on their way to the engine, and the answers on theirs back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from foretell.catalog import Served
from foretell.certificate import summary_for
from foretell.engine.decisions import decisions
from foretell.engine.work import Completed, Part, Work
from foretell.errors import InferenceError, InvalidInput, NotReady
from foretell.serve.codecs import oip_metadata
from foretell.serve.codecs.oip_known import Asked
from foretell.serve.codecs.oip_reply import ReplyEncoder, Wanted, wanted_outputs
from foretell.serve.codecs.oip_request import RequestDecoder
from foretell.serve.codings import COMPRESS_FROM_BYTES
from foretell.serve.exchange import Exchange
from foretell.serve.explain import asks, explained, explanation
from foretell.serve.generate_door import GenerateDoor, stream_path
from foretell.serve.messages import Reply, head_of, json_reply

if TYPE_CHECKING:
    from foretell.serve.application import Application


class ModelDoor:
    """The requests of one model version. The engine writes to the sockets right after a delivery."""

    def __init__(self, served: Served, application: Application) -> None:
        self.served, self.application = served, application
        self.retired = False
        """Another version has taken over: what still comes this way is its to answer."""
        engine = served.engine
        self.encoder = ReplyEncoder(served.name, served.version, lambda: engine.spec)
        self._where = f"model {served.name!r}"
        self._refused: InferenceError | None = None
        self._refused_at, self._refusal = b"", (b"", b"")
        settings = application.settings
        decoder = RequestDecoder(lambda: engine.spec, self._where, engine.groups, settings)
        self._decode, self.numbers = decoder.decode, decoder.numbers
        loop = asyncio.get_running_loop()
        batcher = engine.batcher(loop)
        batcher.delivery.after = application.server.flush
        self.submit = engine.submitter(loop)
        self.submit_alone = batcher.submit_alone if self.submit == batcher.submit else self.submit
        if application.room is not None:
            noting = partial(application.room.noting, (served.name, served.version))
            self.submit, self.submit_alone = noting(self.submit), noting(self.submit_alone)
        self.now = engine.clock.monotonic
        self.timeout_s = min(settings.request_timeout_s, engine.settings.timeout_s or settings.request_timeout_s)

    def infer(self, exchange: Exchange) -> None:
        """Hands the request to the engine. What is refused before counts as an outcome too."""
        if self.retired:
            self.application.handle(exchange)
            return
        headers, body = exchange.headers, exchange.body
        if b"content-encoding" in headers:
            self._unpack(exchange)
            return
        try:
            parts, asked = self._decode(body, headers.get(b"inference-header-content-length"))
            plain = exchange.plain or not asks(headers)
            wanted = self.wanted(asked)
        except InferenceError as error:
            self.refused(exchange, error)
            raise
        work = exchange.work = self.make(plain)(exchange, parts, asked, wanted, self)
        self.submit(work)

    def make(self, plain: bool) -> Callable[..., InferWork]:
        """What stands for the next request in the engine."""
        return InferWork if plain else ExplainedWork

    def refused(self, exchange: Exchange, error: InferenceError) -> None:
        """Counts a request that never came to the engine."""
        self.served.engine.recorder.failed(error.code)

    def wanted(self, asked: Asked) -> tuple[Wanted, ...] | None:
        """What the reply must hold; None: every output, as JSON. Raises `InvalidInput`."""
        if not (asked.outputs or asked.binary):
            return None
        return wanted_outputs(asked.outputs, asked.binary, self.served.spec, self._where)

    def refusal(self, error: InferenceError) -> tuple[bytes, bytes]:
        """The reply to an error of status 4xx on a connection that stays open: its head up to the id, and its body.
        Remembered while both the error and the date are the same."""
        date = self.application.server.date
        if error is not self._refused or date is not self._refused_at:
            reply = self.application.error_reply(error)
            self._refused, self._refused_at = error, date
            self._refusal = head_of(reply, date, True, b"")[:-4], reply.body
        return self._refusal

    def hands_over(self, exchange: Exchange, error: InferenceError, work: Work) -> bool:
        """Whether another version answers a request whose `work` had not begun, in the time that it had from the
        start."""
        if not self.retired or type(error) is not NotReady:
            return False
        self.application.handle(exchange)
        if isinstance(exchange.work, InferWork):
            exchange.work.arrived, exchange.work.deadline = work.arrived, work.deadline
        return True

    def _unpack(self, exchange: Exchange) -> None:
        """The time that it takes is the request's."""
        began = self.now()

        def infer(exchange: Exchange) -> None:
            self.infer(exchange)
            work = exchange.work
            if isinstance(work, InferWork) and work.deadline is not None:
                work.arrived, work.deadline = began, work.deadline - (work.arrived - began)

        self.application.unpacker.unpack(exchange, infer, self.served.engine.recorder.failed)

    def post(self, verb: str) -> Callable[[Exchange], None]:
        """Who answers a POST. Of a model that only streams, nobody answers "infer"."""
        if verb == "infer":
            return self.refuse_infer if self.served.engine.model.only_streams else self.infer
        generate = GenerateDoor(self)  # its route keeps it: were it kept here, the two would keep each other
        return generate.stream if verb == "generate_stream" else generate.once

    def refuse_infer(self, exchange: Exchange) -> None:
        if self.retired:
            self.application.handle(exchange)
            return
        what, fix = "the model streams its answers", f"ask for {stream_path(self.served.name)}"
        error = InvalidInput(what, where=self._where, expected="a request for a stream", fix=fix)
        self.refused(exchange, error)
        raise error

    def metadata(self, exchange: Exchange) -> None:
        served = self.served
        versions = self.application.catalog.versions(served.name)
        certificate = summary_for(served.opened.source, served.identity)
        body = oip_metadata.model_metadata(served.name, versions, served.opened.framework, served.spec, certificate)
        exchange.respond(json_reply(body))

    def config(self, exchange: Exchange) -> None:
        served = self.served
        most = served.engine.settings.max_batch_size
        config = oip_metadata.model_config(served.name, served.opened.framework, served.spec, most)
        exchange.respond(
            json_reply({**config, "foretell": decisions(served.engine) | self.application.trials.report(served.name)})
        )

    def ready(self, exchange: Exchange) -> None:
        name, version = self.served.name, self.served.version
        self.application.tell_ready(
            exchange, (name, version), lambda ready: json_reply({"name": name, "ready": ready}, 200 if ready else 503)
        )


class InferWork(Work):
    """An inference request in the engine, and the exchange that waits for it."""

    __slots__ = ("_door", "_exchange", "_id", "_wanted")

    only_tells = True

    def __init__(
        self,
        exchange: Exchange,
        parts: list[Part],
        asked: Asked,
        wanted: tuple[Wanted, ...] | None,
        door: ModelDoor,
    ) -> None:
        super().__init__(parts, asked.rows, asked.group)
        self.arrived = now = door.now()
        timeout_s = asked.timeout_s
        self.deadline = now + (door.timeout_s if timeout_s is None else min(door.timeout_s, timeout_s))
        self._exchange, self._id, self._wanted, self._door = exchange, asked.id, wanted, door

    def done(self, completed: Completed, start: int) -> None:
        exchange, door = self._exchange, self._door
        if exchange.abandoned:
            return
        try:
            if self._wanted is None:
                body = door.encoder.json(completed, start, self.rows, self._id)
                if len(body) < COMPRESS_FROM_BYTES or b"accept-encoding" not in exchange.headers:
                    exchange.respond_json(body)
                    return
                reply = Reply(body)
            else:
                reply = self._reply(completed, start)
        except Exception as error:  # whoever shares the batch still has to get an answer
            reply = self._error_reply(error)
        exchange.respond(reply)

    def fail(self, error: InferenceError) -> None:
        exchange = self._exchange
        if not exchange.abandoned and not self._door.hands_over(exchange, error, self):
            exchange.respond(self._error_reply(error))

    def _reply(self, completed: Completed, start: int) -> Reply:
        """Raises `InferenceError` for an output that has no such form."""
        encoder = self._door.encoder
        if self._wanted is None:
            return Reply(encoder.json(completed, start, self.rows, self._id))
        return encoder.mixed(completed.batch.slice(start, start + self.rows), self._id, self._wanted)

    def _error_reply(self, error: Exception) -> Reply:
        return self._door.application.told(self._exchange, error)


class ExplainedWork(InferWork):
    """The request of somebody who asked why the answer takes its time."""

    __slots__ = ()

    def done(self, completed: Completed, start: int) -> None:
        exchange, door = self._exchange, self._door
        if exchange.abandoned:
            return
        try:
            told = explanation(completed, door.served.spec, self.arrived, door.now())
            reply = explained(self._reply(completed, start), told, self.rows)
        except Exception as error:
            reply = self._error_reply(error)
        exchange.respond(reply)

    def _error_reply(self, error: Exception) -> Reply:
        reply = super()._error_reply(error)
        if not isinstance(error, InferenceError):
            return reply
        spent_ms = (self._door.now() - self.arrived) * 1e3
        return explained(reply, {"total_ms": round(spent_ms, 3)}, self.rows)
