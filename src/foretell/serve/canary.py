"""A share of the requests that name no version goes to another one, which is to show there what it is worth."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from typing import Any

from foretell.catalog import Catalog
from foretell.errors import InvalidSetting, ModelNotFound, nearest
from foretell.serve.exchange import Exchange
from foretell.serve.messages import own_request_id
from foretell.serve.routes import Handler

_WHERE = "canary"


class Canary:
    """One version of a model, and the share of the requests that it answers, from 0 to 1."""

    def __init__(self, name: str, version: str, share: float) -> None:
        self.name, self.version, self.share = name, version, share
        self._random = random.Random()

    def chooses(self, request_id: bytes | None) -> bool:
        """Whether the next request is one of the share. For one id it always says the same, in every process."""
        if request_id is None:
            return self._random.random() < self.share
        digest = hashlib.blake2b(request_id, digest_size=8, key=self.name.encode()[:64]).digest()
        return int.from_bytes(digest) < self.share * 2**64

    def split(self, ours: Handler, others: Handler) -> Handler:
        """Gives each request to one of two versions: to `ours` where it is of the share."""

        def answer(exchange: Exchange) -> None:
            (ours if self.chooses(own_request_id(exchange.headers)) else others)(exchange)

        return answer


class Canaries:
    """By model. A version that is one answers nothing else of what names no version."""

    def __init__(self, asked: Iterable[str], catalog: Catalog) -> None:
        """`asked`: as the setting has it, `NAME=VERSION:SHARE%`. Raises `InvalidSetting`."""
        self._catalog = catalog
        self._known: dict[str, Canary] = {}
        for text in asked:
            canary = _read(text)
            if canary.name in self._known:
                raise InvalidSetting(f"model {canary.name!r} has two canaries", where=_WHERE, fix="name one")
            self._check(canary)
            self._known[canary.name] = canary

    def version(self, name: str) -> str | None:
        """Who answers what names no version; None: whoever the catalogue says. Raises `ModelNotFound`."""
        canary = self._known.get(name)
        if canary is None:
            return None
        others = [version for version in self._catalog.versions(name) if version != canary.version]
        return others[-1] if others else None

    def of(self, name: str) -> Canary | None:
        """The canary of a model, while it is there and another version is, too."""
        canary = self._known.get(name)
        if canary is None or self.version(name) is None or not self._is_there(canary):
            return None
        return canary

    def report(self, name: str) -> dict[str, Any]:
        """What `config` says of a model."""
        canary = self._known.get(name)
        if canary is None:
            return {}
        told = {"version": canary.version, "share": canary.share, "there": self._is_there(canary)}
        return {"canary": told}

    def _is_there(self, canary: Canary) -> bool:
        try:
            return canary.version in self._catalog.versions(canary.name)
        except ModelNotFound:
            return False

    def _check(self, canary: Canary) -> None:
        name, version = canary.name, canary.version
        try:
            versions = self._catalog.versions(name)
        except ModelNotFound:
            fix = nearest(name, self._catalog.names())
            raise InvalidSetting(f"there is no model {name!r} for a canary", where=_WHERE, fix=fix) from None
        if version not in versions:
            known = "version " + ", ".join(versions)
            raise InvalidSetting(f"model {name!r} has no such version", where=_WHERE, expected=known, got=version)
        if len(versions) == 1:
            what = f"model {name!r} has no other version, which would answer the rest"
            raise InvalidSetting(
                what, where=_WHERE, got=f"version {version} alone", fix="load another version beside it"
            )


def _read(text: str) -> Canary:
    name, _, rest = text.partition("=")
    version, _, share = rest.partition(":")
    percent = float(share.removesuffix("%"))
    if not 0 <= percent <= 100:
        raise InvalidSetting(
            f"the share of model {name!r} is out of range", where=_WHERE, expected="0% to 100%", got=share
        )
    return Canary(name, version, percent / 100)
