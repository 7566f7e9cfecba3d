"""A server in this process, without sockets, and its client: to await, or from code that does not."""

from __future__ import annotations

import asyncio
import json as _json
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from foretell.backends import open_model
from foretell.catalog import Served, StaticCatalog
from foretell.config import Layer, ModelSettings, ServerSettings, resolve
from foretell.engine.engine import Engine
from foretell.errors import (
    DeadlineExceeded,
    InferenceError,
    InvalidInput,
    InvalidSetting,
    ModelError,
    ModelNotFound,
    NotReady,
    Overloaded,
)
from foretell.model import Model
from foretell.model_names import check_name
from foretell.observe.stats import Stats
from foretell.serve.application import Application
from foretell.serve.in_process import InProcess, Received
from foretell.serve.loop import run_on_loop
from foretell.testing.tensors import Array, decoded, encoded

_OF_SOCKETS = ("host", "http_port", "unix_socket", "unix_socket_mode", "tls_cert", "tls_key", "tls_client_ca")
_OF_PROCESSES = ("workers", "watch", "watch_interval_s", "log_format")
_ERRORS: dict[int, type[InferenceError]] = {
    400: InvalidInput, 404: ModelNotFound, 429: Overloaded, 503: NotReady, 504: DeadlineExceeded,
}  # fmt: skip
_MOST_IDLE = 64
ResultT = TypeVar("ResultT")


class Response:
    """A reply of the server. `headers` has lower-case names."""

    def __init__(self, received: Received) -> None:
        self.status, self.headers, self.body = received

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        """Raises `ValueError` for a body that is no JSON."""
        return _json.loads(self.body)

    def __repr__(self) -> str:
        return f"Response({self.status}, {self.body[:80]!r})"


class AsyncClient:
    """A server of `models` on the running event loop, and its client: `async with AsyncClient(model) as client`.

    `models`: what `foretell serve` takes, or a live object as `Predictor` takes it; or a dict of them by name.
    `model` and `server`: settings by name, of every model and of the server. `token`: one that has every scope, as
    `FORETELL_TOKEN` sets it; requests have to send it. Settings of sockets, and of what serves around a server, are
    refused.
    """

    def __init__(
        self,
        models: object,
        *,
        model: Mapping[str, Any] | None = None,
        server: Mapping[str, Any] | None = None,
        token: str | None = None,
    ) -> None:
        for names, why in ((_OF_SOCKETS, "there are no sockets"), (_OF_PROCESSES, "it serves in this process")):
            for name in names:
                if name in (server or {}):
                    raise InvalidSetting(f"{name} would do nothing", where="server", fix=f"leave it out: {why}")
        self._server = resolve(ServerSettings, [Layer("server", dict(server or {}))]).settings
        self._settings = resolve(ModelSettings, [Layer("model", dict(model or {}))]).settings
        self._sources = models if isinstance(models, Mapping) else {None: models}
        self._served: list[Served] = []
        self._token = token
        self._application: Application | None = None
        self._idle: list[InProcess] = []

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._load)
            application = Application(StaticCatalog(self._served), self._server, token=self._token)
            application.server.bind(sockets=[])
            await application.start()
        except BaseException:
            await asyncio.to_thread(self._close_engines)
            raise
        self._application = application
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        application, self._application = self._application, None
        if application is not None:
            for connection in self._idle:
                connection.close()
            self._idle.clear()
            await application.stop()
        await asyncio.to_thread(self._close_engines)

    async def request(
        self, method: str, path: str, *, body: bytes = b"", json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """The reply to any request. `json`: a value to send as the body. Concurrent requests share batches."""
        application = self._running()
        if json is not None:
            body = _json.dumps(json).encode()
        connection = self._idle.pop() if self._idle else InProcess(application.server)
        received = await connection.ask(_request(method, path, body, headers or {}), head=method == "HEAD")
        if not connection.is_closing() and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        return Response(received)

    async def infer(
        self,
        inputs: Mapping[str, Any],
        *,
        model: str | None = None,
        version: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Array]:
        """The outputs by name. `inputs`: arrays or nested lists with the axis of rows, by name; `model`: which one,
        where there are several. Raises what the server answers, as the `InferenceError` that it stands for."""
        self._running()
        served = self._one(model)
        spec = served.spec
        tensors = [encoded(n, value, spec.input(n), rows=spec.batch is not None) for n, value in inputs.items()]
        asked: dict[str, Any] = {"inputs": [head for head, _ in tensors], "parameters": dict(parameters or {})}
        asked["parameters"]["binary_data_output"] = True
        text = _json.dumps(asked).encode()
        more = {**(headers or {}), "Inference-Header-Content-Length": str(len(text))}
        path = f"/v2/models/{quote(served.name, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")
        body = b"".join([text, *(blob for _, blob in tensors)])
        response = await self.request("POST", f"{path}/infer", body=body, headers=more)
        if response.status != 200:
            raise _ERRORS.get(response.status, ModelError)(response.json()["error"])
        length = response.headers.get("inference-header-content-length", len(response.body))
        return decoded(response.body, int(length))

    def _running(self) -> Application:
        if self._application is None:
            raise NotReady("the client has no server yet", fix="use it in a with block")
        return self._application

    def _one(self, name: str | None) -> Served:
        names = [served.name for served in self._served]
        if name is None and len(names) != 1:
            raise InvalidSetting("which model is meant", where="model", expected=f"one of {', '.join(names)}")
        found = next((served for served in self._served if name in (None, served.name)), None)
        if found is None:
            raise ModelNotFound(f"Request for unknown model: {name!r} is not found")
        return found

    def _load(self) -> None:
        for name, source in self._sources.items():
            self._served.append(_loaded(name, source, self._settings))

    def _close_engines(self) -> None:
        while self._served:
            self._served.pop().engine.close()


class Client:
    """The same for code that does not await: `with Client(model) as client`. The server runs in a thread.

    Safe from any thread; requests of several threads share batches. Arguments: see `AsyncClient`.
    """

    def __init__(
        self,
        models: object,
        *,
        model: Mapping[str, Any] | None = None,
        server: Mapping[str, Any] | None = None,
        token: str | None = None,
    ) -> None:
        self._client = AsyncClient(models, model=model, server=server, token=token)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        up: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(up,), name="foretell-testing", daemon=True)
        self._thread.start()
        up.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and self._stop is not None:
            self._loop = None
            loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    def request(
        self, method: str, path: str, *, body: bytes = b"", json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """The reply to any request. `json`: a value to send as the body."""
        return self._wait(self._client.request(method, path, body=body, json=json, headers=headers))

    def infer(
        self,
        inputs: Mapping[str, Any],
        *,
        model: str | None = None,
        version: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Array]:
        """The outputs by name; see `AsyncClient.infer`."""
        asked = self._client.infer(inputs, model=model, version=version, parameters=parameters, headers=headers)
        return self._wait(asked)

    def _wait(self, call: Coroutine[Any, Any, ResultT]) -> ResultT:
        loop = self._loop
        if loop is None:
            call.close()
            raise NotReady("the client has no server yet", fix="use it in a with block")
        return asyncio.run_coroutine_threadsafe(call, loop).result()

    def _run(self, up: Future[None]) -> None:
        try:
            run_on_loop(self._serve(up))
        except BaseException as error:
            if up.done():
                raise
            up.set_exception(error)

    async def _serve(self, up: Future[None]) -> None:
        async with self._client:
            self._stop = asyncio.Event()
            self._loop = asyncio.get_running_loop()
            up.set_result(None)
            await self._stop.wait()


def _loaded(name: str | None, source: object, settings: ModelSettings) -> Served:
    opened = open_model(source, settings)

    def again() -> Model:
        return open_model(source, settings).model

    known = check_name(opened.name if name is None else name)
    engine = Engine(
        opened.model, settings, name=known, digest=opened.digest, recorder=Stats(),
        again=again if isinstance(source, (str, Path)) else None,
    ).load()  # fmt: skip
    return Served(known, "1", engine, opened)


def _request(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    given = {"Host": "localhost", **headers}
    if body or method in ("POST", "PUT"):
        given["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
