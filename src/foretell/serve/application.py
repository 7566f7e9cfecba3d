"""The routes of the HTTP door, and what every one of them needs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from foretell.catalog import Away, Catalog, Known, Served
from foretell.clock import Clock, SystemClock
from foretell.config import ServerSettings
from foretell.errors import InferenceError, ModelNotFound, NotReady
from foretell.observe.prometheus import CONTENT_TYPE
from foretell.repository.loader import Loader
from foretell.serve.codecs import oip_metadata
from foretell.serve.codecs.error_reply import error_body
from foretell.serve.cold import cold_route
from foretell.serve.exchange import Exchange
from foretell.serve.guard import Guard
from foretell.serve.later import Later
from foretell.serve.messages import HttpError, Reply, error_status, json_reply
from foretell.serve.metrics import metrics_of
from foretell.serve.model_door import ModelDoor
from foretell.serve.openapi import document
from foretell.serve.packing import Unpacker
from foretell.serve.prediction_log import prediction_log_of
from foretell.serve.repository_calls import EXTENSIONS, RepositoryCalls
from foretell.serve.routes import WHOLE_SERVER, Handler, Route, model_path, path_of
from foretell.serve.server import HttpServer, Turn
from foretell.serve.shadow import Shadow
from foretell.serve.together import Key, Others, Together
from foretell.serve.tokens import tokens_of
from foretell.serve.trials import Trials
from foretell.serve.watched_door import door_of

_MOST_ROUTES = 4096
_MOST_URL_BYTES = 512


class Application:
    """Answers the requests of a server from the models of a catalogue.

    `loader`: who changes that catalogue; with it, callers may ask for models to be loaded and unloaded.
    `token`: one more beside those of `tokens_file`, for every scope. Raises `InvalidSetting` for tokens that cannot be.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: ServerSettings,
        loader: Loader | None = None,
        *,
        token: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.catalog, self.settings, self.loader = catalog, settings, loader
        self.server = HttpServer(self, settings)
        self.unpacker = Unpacker(self.server.packer, settings.max_body_bytes, self.begin, self.fail)
        self._later = Later(self.told)
        self.repository: RepositoryCalls | None = None
        self.room = loader.room if loader is not None else None
        self.trials = Trials(settings, catalog, self.room)
        if loader is not None:
            self.repository = RepositoryCalls(loader, settings, self._later, self.unpacker.unpack)
        now = (clock or SystemClock()).monotonic
        tokens = tokens_of(settings, token)
        self.guard = Guard(settings, tokens, now, lambda: self.server.listener.local, settings.workers)
        self.server.gate = self._gate
        self._fixed = self._fixed_routes()
        self._routes: dict[bytes, Route] = {}
        """By the whole URL, as the last requests had it."""
        self._doors: dict[tuple[Key, Shadow | None], ModelDoor] = {}
        self.together: Together | None = None
        self.prediction_log = prediction_log_of(settings)
        catalog.subscribe(self._catalog_changed)

    async def start(self) -> None:
        """Listens. From now on the catalogue changes on this thread only."""
        if self.room is not None:
            self.room.start()
        await self.server.start()

    def share(self, sockets: list[socket.socket], turn: Turn) -> None:
        """Will take clients in from `sockets` in turns with other processes. Belongs before `start`."""
        self.server.bind(sockets, turn)

    def join(self, others: Others) -> None:
        """Answers from now on for several processes, of which this is one."""
        self.together = Together(others, self._later)
        if self.repository is not None:
            self.repository.others = others

    def reload(self) -> list[str]:
        """Takes the tokens and the certificate from their files again, and says which it has read.

        Raises `InvalidSetting`, and goes on with those it had.
        """
        read = ["tokens"] if self.settings.tokens_file else []
        self.guard.reload()
        self.server.reload()
        return [*read, "certificate"] if self.settings.tls_cert else read

    async def stop(self) -> None:
        """Not ready, no new connections, answers what was accepted, closes. The engines stay open."""
        await self.server.stop()
        await asyncio.to_thread(self.trials.close)
        if self.prediction_log is not None:
            await asyncio.to_thread(self.prediction_log.close)

    @property
    def ready(self) -> bool:
        return self.server.welcomes and self.catalog.ready()

    def is_ready(self, key: Key | None) -> bool:
        """Whether a model answers; None: whether this process does."""
        if key is None or not self.server.welcomes:
            return self.ready
        try:
            found = self.catalog.find(*key)
        except ModelNotFound:
            return False
        if isinstance(found, Away):
            return self.loader is not None and self.loader.answers(found)
        return found.engine.ready

    def handle(self, exchange: Exchange) -> None:
        """Answers now, or leaves the exchange with the engine. Never raises."""
        try:
            route = self._routes.get(exchange.url) or self._route_of(exchange)
            if route.check is not None:
                route.check(exchange)
            handler = route.methods.get(exchange.method)
            (handler or self._other_method(route, exchange.method))(exchange)
        except Exception as error:
            self.fail(exchange, error)

    def begin(self, exchange: Exchange, handler: Handler) -> None:
        """As `handle`, for a request that has passed its checks."""
        try:
            handler(exchange)
        except Exception as error:
            self.fail(exchange, error)

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answers with an error of whatever kind."""
        exchange.respond(self.told(exchange, error))

    def told(self, exchange: Exchange, error: Exception) -> Reply:
        """Of a mistake of ours nothing internal leaves the process; the loop's handler gets the cause."""
        if isinstance(error, InferenceError):
            return self.error_reply(error)
        trace = exchange.trace
        which = f"request {exchange.request_id.decode()}" + (f" of trace {trace.trace_id.decode()}" if trace else "")
        context = {"message": f"{which} failed: {exchange.url!r}", "exception": error}
        context["request_id"] = exchange.request_id.decode()
        if trace:
            context["trace_id"] = trace.trace_id.decode()
        asyncio.get_running_loop().call_exception_handler(context)
        return Reply(b'{"error":"internal error","code":"internal"}', 500)

    def error_reply(self, error: InferenceError) -> Reply:
        status, headers = error_status(error)
        return Reply(error_body(error), status, headers=headers)

    def _gate(self, exchange: Exchange) -> None:
        """Raises `InferenceError` for a request that will be refused whatever its body is."""
        try:
            route = self._routes.get(exchange.url) or self._find(exchange.url)
        except InferenceError:
            self.guard.check(exchange, "infer", counts=False)
            raise
        self.guard.check(exchange, route.scope, counts=False)
        if exchange.method not in route.methods:
            self._other_method(route, exchange.method)

    def _route_of(self, exchange: Exchange) -> Route:
        """The route of a path. What does not exist is told to those only who may ask for what does."""
        try:
            return self._find(exchange.url)
        except InferenceError:
            self.guard.check(exchange, "infer")
            raise

    def _find(self, url: bytes) -> Route:
        """Remembered where the path is of something that exists. Raises `HttpError` 404, `ModelNotFound`."""
        path, query = path_of(url)
        if url == b"*":
            return WHOLE_SERVER
        route = self._fixed.get(path)
        lasting = True
        if route is None and self.repository is not None:
            methods = self.repository.find(path)
            if methods is not None:  # for any name
                route, lasting = Route(methods, "manage"), False
        if route is None:
            route = self._model_route(*model_path(path))
        route = replace(route, check=self.guard.check_of(route.scope))
        if lasting and not query and len(url) <= _MOST_URL_BYTES and len(self._routes) < _MOST_ROUTES:
            self._routes[url] = route
            if route.usual is not None and route.check is None and self.server.replies_simply:
                self.server.patterns.doors[url] = route.usual
        return route

    def _fixed_routes(self) -> dict[bytes, Route]:
        """Those that are there whatever models there are."""

        def server(exchange: Exchange) -> None:
            exchange.respond(json_reply(oip_metadata.server_metadata(self._extensions())))

        return {
            b"/": Route({b"GET": lambda exchange: exchange.respond(json_reply(self._overview()))}, "open"),
            b"/v2": Route({b"GET": server}, "open"),
            b"/v2/": Route({b"GET": server}, "open"),
            b"/v2/health/live": Route({b"GET": self._live}, "open"),
            b"/v2/health/ready": Route({b"GET": self._ready}, "open"),
            b"/metrics": Route({b"GET": self._metrics}, "metrics"),
            b"/openapi.json": Route({b"GET": self._openapi}, "infer"),
        }

    def _catalog_changed(self) -> None:
        """Nothing here may answer for a model that is gone, nor keep it in memory."""
        self._routes.clear()
        self.server.patterns.clear()
        for key, door in list(self._doors.items()):
            if not self._is_served(door.served):
                del self._doors[key]
                door.retired = True

    def _is_served(self, served: Served) -> bool:
        try:
            return self.catalog.find(served.name, served.version) is served
        except ModelNotFound:
            return False

    def _extensions(self) -> tuple[str, ...]:
        return EXTENSIONS if self.repository is not None else ()

    def _overview(self) -> dict[str, Any]:
        """For whoever opens the address to see what is there."""
        names = () if self.guard.needs_token else self.catalog.names()
        models = {name: f"/v2/models/{quote(name, safe='')}" for name in names}
        return {"status": "alive", "server": "/v2", "models": models, "metrics": "/metrics",
                "openapi": "/openapi.json"}  # fmt: skip

    def _openapi(self, exchange: Exchange) -> None:
        needs_token, repository = self.guard.needs_token, self.repository is not None
        exchange.respond(json_reply(document(self.catalog.known(), needs_token=needs_token, repository=repository)))

    def _live(self, exchange: Exchange) -> None:
        exchange.respond(json_reply({"live": True, "ready": self.ready}))

    def _ready(self, exchange: Exchange) -> None:
        self.tell_ready(exchange, None, lambda ready: json_reply({"live": True, "ready": ready}, 200 if ready else 503))

    def tell_ready(self, exchange: Exchange, key: Key | None, reply: Callable[[bool], Reply]) -> None:
        """Answers whether a model or the server is ready, in all processes that there are."""
        ready = self.is_ready(key)
        if ready and self.together is not None:
            self.together.ready(exchange, key, reply)
        else:
            exchange.respond(reply(ready))

    def _model_route(self, name: str, version: str | None, verb: str) -> Route:
        if version is not None:
            return self.route_to(self._resolve(name, version), verb)
        rest = self._resolve(name, self.trials.rest(name))
        route = self.route_to(rest, verb, self.trials.shadow(name))
        canary = self.trials.canary(name)
        if canary is None or b"POST" not in route.methods:
            return route
        ours = self.route_to(self._resolve(name, canary.version), verb)
        return Route({b"POST": canary.split(ours.methods[b"POST"], route.methods[b"POST"])}, "infer")

    def route_to(self, known: Known, verb: str, shadow: Shadow | None = None) -> Route:
        """What leads to a version, whether it is in memory or not: one method."""
        if isinstance(known, Away):
            return cold_route(self, known, verb)
        door = self._door(known, shadow)
        if verb in ("infer", "generate", "generate_stream"):
            usual = verb == "infer" and not known.only_streams
            return Route({b"POST": door.post(verb)}, "infer", usual=door if usual else None)
        handlers: dict[str, Handler] = {"": door.metadata, "ready": door.ready, "config": door.config}
        return Route({b"GET": handlers[verb]}, "infer")

    def _door(self, served: Served, shadow: Shadow | None) -> ModelDoor:
        key = (served.name, served.version), shadow
        door = self._doors.get(key)
        if door is None:
            door = self._doors[key] = door_of(served, self, self.prediction_log, shadow)
        return door

    def _resolve(self, name: str, version: str | None) -> Known:
        try:
            return self.catalog.find(name, version)
        except ModelNotFound:
            if self.loader is not None and self.loader.is_loading(name, version):
                raise NotReady("the model is loading", where=f"model {name!r}", fix="try again later") from None
            raise

    def _other_method(self, route: Route, method: bytes) -> Handler:
        if method == b"HEAD" and b"GET" in route.methods:
            return route.methods[b"GET"]
        if method == b"OPTIONS":
            return lambda exchange: exchange.respond(Reply(b"", 204, headers=((b"Allow", route.allow),)))
        raise HttpError(405, f"wrong method; expected {route.allow.decode()}", ((b"Allow", route.allow),))

    def _metrics(self, exchange: Exchange) -> None:
        if self.together is not None:
            self.together.metrics(exchange)
            return
        exchange.respond(Reply(self.metrics().encode(), content_type=CONTENT_TYPE.encode()))

    def metrics(self) -> str:
        """Of this process."""
        return metrics_of(self)
