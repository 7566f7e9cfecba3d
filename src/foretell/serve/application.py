"""The routes of the HTTP door, and what every one of them needs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote_to_bytes

from foretell.catalog import Catalog, Served
from foretell.config import ServerSettings
from foretell.errors import InferenceError, ModelNotFound, NotReady
from foretell.observe import prometheus
from foretell.observe.stats import Stats
from foretell.repository.loader import Loader
from foretell.serve.codecs import oip_metadata
from foretell.serve.codecs.oip_reply import error_body
from foretell.serve.exchange import Exchange
from foretell.serve.messages import HttpError, Reply, error_status, json_reply
from foretell.serve.model_door import ModelDoor
from foretell.serve.repository_calls import EXTENSIONS, RepositoryCalls
from foretell.serve.server import HttpServer

_MODEL = re.compile(rb"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(infer|ready|config))?/?")
_ABSOLUTE = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
_MOST_ROUTES = 4096
_MOST_URL_BYTES = 512

Handler = Callable[[Exchange], None]
Scope = Literal["open", "infer", "metrics", "manage"]
"""What a caller needs: nothing, or a token with that scope. "manage" is for whatever changes what is served."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a path leads to, by method, and who may come in. Every route says its scope: there is no default."""

    methods: dict[bytes, Handler]
    scope: Scope

    @property
    def allow(self) -> bytes:
        names = {*self.methods, b"OPTIONS"} | ({b"HEAD"} if b"GET" in self.methods else set())
        return b", ".join(sorted(names))


class Application:
    """Answers the requests of a server from the models of a catalogue.

    `loader`: who changes that catalogue; with it, callers may ask for models to be loaded and unloaded.
    """

    def __init__(self, catalog: Catalog, settings: ServerSettings, loader: Loader | None = None) -> None:
        self.catalog, self.settings, self._loader = catalog, settings, loader
        self._repository: RepositoryCalls | None = None
        if loader is not None:
            self._repository = RepositoryCalls(loader, settings, self.error_reply, self.failed)
        self.server = HttpServer(self, settings)
        self._routes: dict[bytes, Route] = {}
        self._doors: dict[tuple[str, str], ModelDoor] = {}
        catalog.subscribe(self._catalog_changed)

    async def start(self) -> None:
        """Listens. From now on the catalogue changes on this thread only."""
        await self.server.start()

    async def stop(self) -> None:
        """Not ready, no new connections, answers what was accepted, closes. The engines stay open."""
        await self.server.stop()

    @property
    def ready(self) -> bool:
        return not self.server.draining and self.catalog.ready()

    def handle(self, exchange: Exchange) -> None:
        """Answers now, or leaves the exchange with the engine. Never raises."""
        try:
            route = self._routes.get(exchange.url) or self._find(exchange.url)
            handler = route.methods.get(exchange.method)
            if handler is None:
                handler = self._other_method(route, exchange.method)
            handler(exchange)
        except InferenceError as error:
            exchange.respond(self.error_reply(error))
        except Exception as error:
            exchange.respond(self.failed(exchange, error))

    def failed(self, exchange: Exchange, error: Exception) -> Reply:
        """The reply for a mistake of ours. Nothing internal leaves the process; the loop's handler gets the cause."""
        context = {"message": f"request failed: {exchange.url!r}", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        return Reply(b'{"error":"internal error"}', 500)

    def error_reply(self, error: InferenceError) -> Reply:
        status, headers = error_status(error)
        return Reply(error_body(error), status, headers=headers)

    def _find(self, url: bytes) -> Route:
        """The route of a path, remembered where it exists. Raises `HttpError` 404, `ModelNotFound`."""
        path, query, _ = _ABSOLUTE.sub(b"", url, count=1).partition(b"?")
        route = self._fixed(path)
        if route is None and self._repository is not None:
            methods = self._repository.find(path)
            if methods is not None:  # for any name, and so not to be remembered
                if not self.server.listener.local:
                    raise HttpError(403, "models are managed from the machine itself only")
                return Route(methods, "manage")
        if route is None:
            found = _MODEL.fullmatch(path)
            if found is None:
                raise HttpError(404, "Not Found")
            name, version = _text(found[1]), _text(found[2]) if found[2] is not None else None
            route = self._model_route(name, version, (found[3] or b"").decode())
        if not query and len(url) <= _MOST_URL_BYTES and len(self._routes) < _MOST_ROUTES:
            self._routes[url] = route
        return route

    def _fixed(self, path: bytes) -> Route | None:
        routes: dict[bytes, tuple[Handler, Scope]] = {
            b"/": (lambda e: e.respond(json_reply(self._overview())), "open"),
            b"/v2": (lambda e: e.respond(json_reply(oip_metadata.server_metadata(self._extensions()))), "open"),
            b"/v2/": (lambda e: e.respond(json_reply(oip_metadata.server_metadata(self._extensions()))), "open"),
            b"/v2/health/live": (lambda e: e.respond(json_reply({"live": True, "ready": self.ready})), "open"),
            b"/v2/health/ready": (self._ready, "open"),
            b"/metrics": (self._metrics, "metrics"),
        }
        if path not in routes:
            return None
        handler, scope = routes[path]
        return Route({b"GET": handler}, scope)

    def _catalog_changed(self) -> None:
        """Nothing here may answer for a model that is gone, nor keep it in memory."""
        self._routes.clear()
        for key, door in list(self._doors.items()):
            if not self._is_served(door.served):
                del self._doors[key]
                door.retired = True

    def _is_served(self, served: Served) -> bool:
        try:
            return self.catalog.resolve(served.name, served.version) is served
        except ModelNotFound:
            return False

    def _extensions(self) -> tuple[str, ...]:
        return EXTENSIONS if self._repository is not None else ()

    def _overview(self) -> dict[str, Any]:
        """For whoever opens the address to see what is there."""
        models = {name: f"/v2/models/{quote(name, safe='')}" for name in self.catalog.names()}
        return {"status": "alive", "server": "/v2", "models": models, "metrics": "/metrics"}

    def _ready(self, exchange: Exchange) -> None:
        ready = self.ready
        exchange.respond(json_reply({"live": True, "ready": ready}, 200 if ready else 503))

    def _model_route(self, name: str, version: str | None, verb: str) -> Route:
        served = self._resolve(name, version)
        door = self._doors.get((served.name, served.version))
        if door is None:
            door = self._doors[served.name, served.version] = ModelDoor(served, self)
        if verb == "infer":
            return Route({b"POST": door.infer}, "infer")
        handlers: dict[str, Handler] = {"": door.metadata, "ready": door.ready, "config": door.config}
        return Route({b"GET": handlers[verb]}, "infer")

    def _resolve(self, name: str, version: str | None) -> Served:
        try:
            return self.catalog.resolve(name, version)
        except ModelNotFound:
            if self._loader is not None and self._loader.is_loading(name, version):
                raise NotReady("the model is loading", where=f"model {name!r}", fix="try again later") from None
            raise

    def _other_method(self, route: Route, method: bytes) -> Handler:
        if method == b"HEAD" and b"GET" in route.methods:
            return route.methods[b"GET"]
        if method == b"OPTIONS":
            return lambda exchange: exchange.respond(Reply(b"", 204, headers=((b"Allow", route.allow),)))
        raise HttpError(405, f"wrong method; expected {route.allow.decode()}", ((b"Allow", route.allow),))

    def _metrics(self, exchange: Exchange) -> None:
        models = [
            prometheus.ModelMetrics(
                served.name,
                served.version,
                served.engine.recorder,
                served.engine.waiting_rows,
                served.engine.cached_rows,
                served.engine.ready,
            )
            for served in self._all()
            if isinstance(served.engine.recorder, Stats)
        ]
        server = {
            "http_connections": float(self.server.connections),
            "http_connections_refused_total": float(self.server.refused_connections),
        }
        text = prometheus.exposition(models, server)
        if self._loader is not None:
            text += self._loader.intake.loads.exposition()
        exchange.respond(Reply(text.encode(), content_type=prometheus.CONTENT_TYPE.encode()))

    def _all(self) -> list[Served]:
        return [self.catalog.resolve(n, v) for n in self.catalog.names() for v in self.catalog.versions(n)]


def _text(raw: bytes) -> str:
    """A percent-decoded name. It is only ever compared with names that are known."""
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise ModelNotFound(f"Request for unknown model: {raw.decode('latin-1')!r} is not found") from None
