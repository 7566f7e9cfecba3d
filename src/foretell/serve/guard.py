"""Who may come in: the token that a route needs, how often its holder may ask, and which pages may manage."""

from __future__ import annotations

import math
from collections.abc import Callable
from hmac import compare_digest
from typing import Literal, NamedTuple

from foretell.config import ServerSettings
from foretell.serve.exchange import Exchange
from foretell.serve.messages import HttpError
from foretell.serve.rate import Limiter, Rate
from foretell.serve.token_file import Token
from foretell.serve.tokens import Tokens

Scope = Literal["open", "infer", "metrics", "manage"]
"""What a caller needs: nothing, or a token with that scope. "manage" is for whatever changes what is served."""
Check = Callable[[Exchange], None]
"""Raises `HttpError` for who may not come in."""

_MOST_ADDRESSES = 16_384
_MOST_REMEMBERED_BYTES = 512
_BEARER = b"bearer "
_REALM = b'Bearer realm="foretell"'


class Caller(NamedTuple):
    """The last token of a connection, so that it need not be hashed for each request."""

    authorization: bytes
    token: Token
    known: object
    """What the tokens were then."""


class Guard:
    """Decides for each scope once what has to be checked, so that what is open costs nothing."""

    def __init__(
        self,
        settings: ServerSettings,
        tokens: Tokens | None,
        now: Callable[[], float],
        local: Callable[[], bool],
        workers: int = 1,
    ) -> None:
        """`now`: monotonic seconds. `local`: whether only programs on this machine reach the server, which is known
        once it listens. `workers`: processes on the same port; each allows its part of every rate."""
        self._tokens, self._now, self._local, self._workers = tokens, now, local, workers
        self._origins = frozenset(origin.lower().encode() for origin in settings.cors_origins) - {b"*"}
        self._limiters: dict[str, Limiter] = {}
        self._addresses: Limiter | None = None
        if settings.rate_per_s is not None:
            rate = Rate.of(settings.rate_per_s, settings.rate_burst).share(workers)
            self._addresses = Limiter(rate, _MOST_ADDRESSES)
        self.unauthorized = self.limited = 0
        """Requests refused for want of a token or a scope, and for their number."""

    @property
    def needs_token(self) -> bool:
        """For everything but health and what the server is."""
        return self._tokens is not None

    def reload(self) -> None:
        """Takes the tokens from their file again. Raises `InvalidSetting`, and goes on with those it had."""
        if self._tokens is not None:
            self._tokens.reload()

    def lines(self, place: str, *, encrypted: bool) -> list[str]:
        """What the start says of who may come in to `place`."""
        tokens = self._tokens
        if tokens is None:
            return [] if self._local() else [
                f"anybody who reaches {place} may ask for predictions: no token is set",
                f"nobody may manage the models at {place}: that needs a token, and none is set",
            ]  # fmt: skip
        told = [f"predictions, metrics and management need a token ({len(tokens)} known); health is open"]
        told += [f"warning: {tokens.warning}"] if tokens.warning else []
        if not self._local() and not encrypted:
            told.append(
                "tokens travel unencrypted: set tls_cert, or let nobody but a proxy with TLS reach this address"
            )
        return told

    def check_of(self, scope: Scope) -> Check | None:
        """What every request of this scope has to pass; None: it is open."""
        if scope == "open" or (scope != "manage" and self._tokens is None and self._addresses is None):
            return None
        return lambda exchange: self.check(exchange, scope)

    def check(self, exchange: Exchange, scope: Scope, *, counts: bool = True) -> None:
        """Raises `HttpError` 401, 403, 429 for who may not come in. `counts`: the request takes its part of the rate;
        without it, it is looked at only, and is to come again."""
        if scope == "open":
            return
        token = self._authorize(exchange, scope)
        if scope == "manage":
            self._check_page(exchange)
        self._limit(exchange, token, counts)

    def _authorize(self, exchange: Exchange, scope: Scope) -> Token | None:
        """The token that allows this; None: none is needed."""
        if self._tokens is None and (scope != "manage" or self._local()):
            return None
        token = None if self._tokens is None else self._token_of(exchange, self._tokens)
        if token is None:
            raise self._unauthorized(exchange)
        if scope not in token.scopes:
            self.unauthorized += 1
            needs = b'%b, error="insufficient_scope", scope="%b"' % (_REALM, scope.encode())
            raise HttpError(403, f"the token does not have the scope {scope!r}", ((b"WWW-Authenticate", needs),))
        return token

    def _token_of(self, exchange: Exchange, tokens: Tokens) -> Token | None:
        value, connection = exchange.headers.get(b"authorization", b""), exchange.connection
        caller = connection.caller
        if caller is not None and caller.known is tokens.by_digest and compare_digest(caller.authorization, value):
            return caller.token
        token = tokens.find(value[len(_BEARER) :].strip(b" ")) if value[: len(_BEARER)].lower() == _BEARER else None
        keep = token is not None and len(value) <= _MOST_REMEMBERED_BYTES
        connection.caller = Caller(value, token, tokens.by_digest) if token is not None and keep else None
        return token

    def _unauthorized(self, exchange: Exchange) -> HttpError:
        """One answer for every token that is not known, whatever is wrong with it."""
        self.unauthorized += 1
        what, challenge = "the token is not valid", b'%b, error="invalid_token"' % _REALM
        if b"authorization" not in exchange.headers:
            what, challenge = "this needs a token; expected a header Authorization: Bearer TOKEN", _REALM
        return HttpError(401, what, ((b"WWW-Authenticate", challenge),))

    def _limit(self, exchange: Exchange, token: Token | None, counts: bool) -> None:
        if token is None:
            limiter, caller = self._addresses, exchange.connection.client_address
        elif (rate := self.rate_of(token)) is not None:
            limiter, caller = self._limiter_of(token, rate), token.name
        else:
            return
        if limiter is not None and (wait_s := limiter.wait_s(caller, self._now(), counts)):
            self.limited += 1
            raise HttpError(429, "too many requests; try again later", ((b"Retry-After", b"%d" % math.ceil(wait_s)),))

    def rate_of(self, token: Token) -> Rate | None:
        """What this process allows of it."""
        return None if token.rate is None else token.rate.share(self._workers)

    def _limiter_of(self, token: Token, rate: Rate) -> Limiter:
        """Of this token alone. Those of tokens that are gone leave when it is made anew."""
        limiter = self._limiters.get(token.name)
        if limiter is None or limiter.rate != rate:
            known = {each.name for each in self._tokens.by_digest.values()} if self._tokens is not None else set()
            self._limiters = {name: each for name, each in self._limiters.items() if name in known}
            limiter = self._limiters[token.name] = Limiter(rate, 1)
        return limiter

    def _check_page(self, exchange: Exchange) -> None:
        """A browser tells what page a request is from: of another origin, it may not manage, whatever else it has.

        "Origin" comes with every POST of a page; "Sec-Fetch-Site" cannot be made by a page.
        """
        headers = exchange.headers
        origin = headers.get(b"origin")
        if origin is None:
            ours = headers.get(b"sec-fetch-site", b"none").lower() in (b"none", b"same-origin")
        else:
            ours = self._is_ours(origin.lower(), headers.get(b"host", b"").lower())
        if not ours:
            self.unauthorized += 1
            raise HttpError(403, "pages of another origin may not manage; see the setting cors_origins")

    def _is_ours(self, origin: bytes, host: bytes) -> bool:
        """A page of this server, or of an origin that is named; "*" names none."""
        return origin in self._origins or (bool(host) and origin in (b"http://" + host, b"https://" + host))
