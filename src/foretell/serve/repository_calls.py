"""The model repository extension of the Open Inference Protocol: what there is, and loading and unloading by name.

A caller names a model that the server was started with, or that lies in a folder it was started with; never a place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
import orjson

from foretell.config import ServerSettings
from foretell.errors import DeadlineExceeded, InferenceError, InvalidInput, ModelNotFound
from foretell.repository.loader import Loader, LoadFailed, State
from foretell.serve.codecs.error_reply import reason_text
from foretell.serve.codecs.json_guard import check_json
from foretell.serve.exchange import Exchange
from foretell.serve.later import Later
from foretell.serve.messages import HttpError, Reply
from foretell.serve.together import Others

EXTENSIONS = ("model_repository", "model_repository(unload_dependents)")

_PATH = re.compile(rb"/v2/repository(?:/([^/]+))?/(?:(index)|models/([^/]+)/(load|unload))/?")

Handler = Callable[[Exchange], None]


class _IndexBody(msgspec.Struct):
    ready: bool = False


class _CallBody(msgspec.Struct):
    parameters: dict[str, Any] = {}  # msgspec gives each its own


class RepositoryCalls:
    """Answers the calls about what `loader` has, each when what it asks for is done.

    `unpack`: has a handler answer when the body is plain.
    """

    def __init__(
        self,
        loader: Loader,
        settings: ServerSettings,
        later: Later,
        unpack: Callable[[Exchange, Handler], None],
    ) -> None:
        self._loader, self._settings, self._later, self._unpack = loader, settings, later, unpack
        self.others: Others | None = None
        """Other processes, which come to have the same models."""

    def find(self, path: bytes) -> dict[bytes, Handler] | None:
        """What a path leads to, by method; None for a path that is not of this extension."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        if found[1] is not None:
            raise HttpError(400, "repositories have no names here; leave the name out of the path")
        if found[2] is not None:
            return {b"POST": self._plain(self._index)}
        try:
            name = unquote_to_bytes(found[3]).decode()
        except UnicodeDecodeError:
            raise ModelNotFound(f"Request for unknown model: {found[3].decode('latin-1')!r} is not found") from None
        return {b"POST": self._plain(lambda exchange: self._call(exchange, name, found[4] == b"load"))}

    def _plain(self, handler: Handler) -> Handler:
        """The same for bodies in any encoding."""

        def answer(exchange: Exchange) -> None:
            if b"content-encoding" in exchange.headers:
                self._unpack(exchange, handler)
            else:
                handler(exchange)

        return answer

    def _index(self, exchange: Exchange) -> None:
        asked = self._body(exchange, _IndexBody)
        self._later.begin(exchange, self._indexed(asked.ready))

    async def _indexed(self, ready: bool) -> Reply:
        states = self._loader.states(await self._loader.look())
        return _json([_entry(state) for state in states if not ready or state.state == "READY"])

    def _call(self, exchange: Exchange, name: str, load: bool) -> None:
        parameters = self._body(exchange, _CallBody).parameters
        if load:
            _check_load(parameters)
            self._later.begin(exchange, self._loaded(name))
        else:
            _check_unload(parameters)
            self._later.begin(exchange, self._unloaded(name))

    async def load(self, name: str) -> None:
        """In this process. Raises what a remote caller may know."""
        try:
            await self._loader.load(name)
        except LoadFailed as error:
            raise _public(error) from None

    async def _loaded(self, name: str) -> Reply:
        """What cannot be loaded here is not tried elsewhere: all serve on with what they have."""
        await self.load(name)
        if self.others is not None:
            await self.others.load(name)
        return _json({"name": name, "ready": True})

    async def _unloaded(self, name: str) -> Reply:
        await self._loader.unload(name)
        if self.others is not None:
            await self.others.unload(name)
        return _json({"name": name, "ready": False})

    def _body(self, exchange: Exchange, kind: type[Any]) -> Any:
        """The JSON of a request; an empty body is an empty object."""
        body = bytes(exchange.body)
        if not body.strip():
            return kind()
        check_json(body, self._settings)
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"the body is not what this call takes: {error}") from None


def _check_load(parameters: dict[str, Any]) -> None:
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            what = f"{'config' if name == 'config' else 'file'} cannot be sent with a request to load"
            raise InvalidInput(what, fix="put the model where the server looks for it, and its settings beside it")
        raise InvalidInput(f"unknown parameter {name[:64]!r}", expected="none")


def _check_unload(parameters: dict[str, Any]) -> None:
    for name, value in parameters.items():
        if name != "unload_dependents":
            raise InvalidInput(f"unknown parameter {name[:64]!r}", expected="unload_dependents")
        if not isinstance(value, bool):
            raise InvalidInput("wrong parameter 'unload_dependents'", expected="true or false")


def _entry(state: State) -> dict[str, str]:
    if not state.version and state.reason is None:
        return {"name": state.name}
    entry = {"name": state.name, "version": state.version, "state": state.state}
    return entry if state.reason is None else {**entry, "reason": reason_text(state.reason)}


def _public(error: LoadFailed) -> InferenceError:
    """What a remote caller may know, under the status that says whether another try may help."""
    reasons = [f"version {version}: {reason_text(reason)}" for version, reason in error.reasons.items()]
    text = f"failed to load {error.name!r}, {'; '.join(reasons)}"
    if all(reason.retryable for reason in error.reasons.values()):
        return HttpError(503, text, ((b"Retry-After", b"1"),))
    late = any(isinstance(reason, DeadlineExceeded) for reason in error.reasons.values())
    return HttpError(504 if late else 400, text)


def _json(value: object) -> Reply:
    return Reply(orjson.dumps(value))
