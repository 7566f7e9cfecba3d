"""Requests for a model that is served and not in memory: they wait until it is, and go on as if it always had been."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from foretell.catalog import Away
from foretell.errors import Cancelled, DeadlineExceeded, InferenceError, ModelNotFound, NotReady
from foretell.repository.wanted import CannotLoad, Wanted
from foretell.serve.codecs.error_reply import reason_text
from foretell.serve.codecs.json_guard import check_json
from foretell.serve.codecs.oip_parameters import read_parameters
from foretell.serve.exchange import Exchange
from foretell.serve.heads import TEXT_LENGTH
from foretell.serve.messages import json_reply
from foretell.serve.model_door import InferWork
from foretell.serve.routes import Route

if TYPE_CHECKING:
    from foretell.serve.application import Application


def cold_route(application: Application, away: Away, verb: str) -> Route:
    """What leads to `away` until it is in memory. Raises `NotReady` where nobody could load it."""
    wanted = application.loader.wanted if application.loader is not None else None
    if wanted is None:
        raise NotReady("the model is not in memory", where=f"model {away.name!r}")
    if verb == "ready":
        return Route({b"GET": partial(_ready, application, away)}, "infer")

    def wait(exchange: Exchange) -> None:
        Waiting(exchange, application, wanted, away, verb).begin()

    return Route({b"POST" if verb in ("infer", "generate", "generate_stream") else b"GET": wait}, "infer")


def _ready(application: Application, away: Away, exchange: Exchange) -> None:
    name = away.name
    application.tell_ready(
        exchange, (name, away.version), lambda ready: json_reply({"name": name, "ready": ready}, 200 if ready else 503)
    )


class Waiting:
    """The work of an exchange that waits for its model. The time that it takes is the request's."""

    __slots__ = ("_application", "_away", "_began", "_exchange", "_timer", "_verb", "_wanted")

    def __init__(self, exchange: Exchange, application: Application, wanted: Wanted, away: Away, verb: str) -> None:
        self._exchange, self._application, self._wanted = exchange, application, wanted
        self._away, self._verb = away, verb
        self._began = asyncio.get_running_loop().time()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Raises `InferenceError`."""
        try:
            self._wanted.want(self._away, self)
        except InferenceError as error:
            self._count(error)
            raise _public(error) from None
        self._exchange.work = self
        self._limit()

    def since(self, began: float) -> None:
        """It has waited before."""
        self._began = began
        self._limit()

    def cancel(self) -> None:
        """The client has gone, or the server gives up."""
        self._end()
        self._wanted.leave((self._away.name, self._away.version), self)
        self._count(Cancelled(""))

    def there(self) -> None:
        self._end()
        exchange = self._exchange
        if not exchange.abandoned:
            exchange.work = None
            self._application.begin(exchange, self._go_on)
            _charge(exchange, self._began)

    def _go_on(self, exchange: Exchange) -> None:
        """To the version that it has waited for; where that is gone, to whoever answers now."""
        application, away = self._application, self._away
        try:
            known = application.catalog.find(away.name, away.version)
        except ModelNotFound:
            application.handle(exchange)
            return
        (handler,) = application.route_to(known, self._verb).methods.values()
        handler(exchange)

    def failed(self, error: InferenceError) -> None:
        self._end()
        if not self._exchange.abandoned:
            self._count(error)
            self._application.fail(self._exchange, _public(error))

    def _limit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        settings, own_s = self._application.settings, _own_timeout_s(self._exchange)
        limits = (settings.request_timeout_s, self._away.settings.timeout_s, own_s)
        limit_s = min(limit for limit in limits if limit is not None)
        self._timer = asyncio.get_running_loop().call_at(self._began + limit_s, self._expire)

    def _expire(self) -> None:
        self._wanted.leave((self._away.name, self._away.version), self)
        self.failed(DeadlineExceeded("the time limit passed while the model was loaded", where=self._where))

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _count(self, error: InferenceError) -> None:
        if self._exchange.method == b"POST":
            self._away.recorder.failed(error.code)

    @property
    def _where(self) -> str:
        return f"model {self._away.name!r}"


def _charge(exchange: Exchange, began: float) -> None:
    """The time since `began` is of the time that a request has."""
    work = exchange.work
    if isinstance(work, Waiting):
        work.since(began)
    elif isinstance(work, InferWork) and work.deadline is not None:
        waited_s = asyncio.get_running_loop().time() - began
        work.arrived, work.deadline = work.arrived - waited_s, work.deadline - waited_s


class _Timed(msgspec.Struct):
    parameters: dict[str, Any] | None = None
    timeout: Any = None
    """Where a request for a stream may have it, too."""


def _own_timeout_s(exchange: Exchange) -> float | None:
    """The time limit that a request names; what is wrong with it, its model will tell."""
    length, body = exchange.headers.get(TEXT_LENGTH, b""), exchange.body
    text = bytes(body[: int(length)] if length.isdigit() and len(length) < 20 else body)
    if b'"timeout"' not in text:
        return None
    try:
        check_json(text, exchange.connection.server.settings)
        given = msgspec.json.decode(text, type=_Timed)
        parameters = given.parameters or {}
        if given.timeout is not None and b"/generate" in exchange.url:
            parameters.setdefault("timeout", given.timeout)
        return read_parameters(parameters).timeout_s
    except (InferenceError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _public(error: InferenceError) -> InferenceError:
    """What a remote caller may know."""
    if not isinstance(error, CannotLoad):
        return error
    told = NotReady(f"it cannot be loaded: {reason_text(error.reason)}", where=error.where, fix="try again later")
    told.retry_after_s = error.retry_after_s
    return told
