"""What a URL leads to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from foretell.errors import ModelNotFound
from foretell.serve.exchange import Exchange
from foretell.serve.guard import Check, Scope
from foretell.serve.messages import HttpError, Reply

if TYPE_CHECKING:
    from foretell.serve.model_door import ModelDoor

_MODEL = re.compile(rb"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(infer|ready|config|generate|generate_stream))?/?")
_ABSOLUTE = re.compile(rb"https?://[^/?]*", re.IGNORECASE)

Handler = Callable[[Exchange], None]


@dataclass(frozen=True, slots=True)
class Route:
    """What a path leads to, by method, and who may come in. Every route says its scope: there is no default."""

    methods: dict[bytes, Handler]
    scope: Scope
    check: Check | None = None
    """What every request has to pass first. The application sets it, by the scope; None: nothing."""
    usual: ModelDoor | None = None
    """Who answers its POST where that needs nothing but its numbers, see `Patterns`."""

    @property
    def allow(self) -> bytes:
        names = {*self.methods, b"OPTIONS"} | ({b"HEAD"} if b"GET" in self.methods else set())
        return b", ".join(sorted(names))


_METHODS = ((b"Allow", b"GET, HEAD, OPTIONS, POST"),)
WHOLE_SERVER = Route({b"OPTIONS": lambda exchange: exchange.respond(Reply(b"", 204, headers=_METHODS))}, "open")
"""`OPTIONS *` asks for no path in particular (RFC 9110, 9.3.7)."""


def path_of(url: bytes) -> tuple[bytes, bytes]:
    """Path and query. An URL of a host alone means its root (RFC 9110, 4.2.3)."""
    path, _, query = _ABSOLUTE.sub(b"", url, count=1).partition(b"?")
    return path or b"/", query


def model_path(path: bytes) -> tuple[str, str | None, str]:
    """Name, version if there is one, and verb ("infer", "generate", ... or ""). Raises `HttpError` 404."""
    found = _MODEL.fullmatch(path)
    if found is None:
        raise HttpError(404, "Not Found")
    return _text(found[1]), _text(found[2]) if found[2] is not None else None, (found[3] or b"").decode()


def _text(raw: bytes) -> str:
    """A percent-decoded name. It is only ever compared with names that are known."""
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise ModelNotFound(f"Request for unknown model: {raw.decode('latin-1')!r} is not found") from None
