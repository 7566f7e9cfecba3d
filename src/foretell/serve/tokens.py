"""Bearer tokens, found by the SHA-256 of their secret.

The secrets are random and long (256 bits), so nobody finds one by trying: a slow hash with a salt, as passwords need,
would protect nothing more, and cost milliseconds for each request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

from foretell.config import ServerSettings
from foretell.errors import InvalidSetting
from foretell.serve.token_file import SCOPES, Token, read

ENVIRONMENT = "FORETELL_TOKEN"

_LEAST_CHARACTERS = 16
_SECRET = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What a header can hold as a token (RFC 6750)."""


class Tokens:
    """The tokens of a file, and perhaps one that was given in the environment, which may do everything."""

    def __init__(self, path: str | None, secret: str | None = None) -> None:
        """Raises `InvalidSetting` for a file or a secret that cannot be used."""
        self._path = Path(path) if path else None
        self._given = [_of_secret(secret)] if secret is not None else []
        self.by_digest: Mapping[bytes, Token] = {}
        """Another object after each `reload`: what was found before no longer counts then."""
        self.warning = ""
        self.reload()

    def __len__(self) -> int:
        return len(self.by_digest)

    def reload(self) -> None:
        """Takes the file as it is now. Raises `InvalidSetting`, and goes on with what was known before."""
        found, self.warning = ([], "") if self._path is None else read(self._path)
        self.by_digest = {token.digest: token for token in (*found, *self._given)}

    def find(self, secret: bytes) -> Token | None:
        """The token with this secret. How long it takes tells nothing: what is compared are digests."""
        digest = hashlib.sha256(secret).digest()
        token = self.by_digest.get(digest)
        return token if token is not None and hmac.compare_digest(token.digest, digest) else None


def tokens_of(settings: ServerSettings, secret: str | None) -> Tokens | None:
    """None where neither a file nor a secret is set: a file without tokens lets nobody in. Raises `InvalidSetting`."""
    if secret is not None and settings.rate_per_s is not None:
        raise InvalidSetting("rate_per_s would do nothing", got=f"{ENVIRONMENT} is set, so everybody has a token")
    return Tokens(settings.tokens_file, secret) if settings.tokens_file or secret is not None else None


def _of_secret(secret: str) -> Token:
    if len(secret) < _LEAST_CHARACTERS or not _SECRET.fullmatch(secret):
        expected = f"at least {_LEAST_CHARACTERS} characters, of letters, digits and -._~+/="
        raise InvalidSetting("not a token", where=ENVIRONMENT, expected=expected, fix="foretell token new makes one")
    return Token(ENVIRONMENT, hashlib.sha256(secret.encode()).digest(), frozenset(SCOPES))
