"""Versions that get a share of the requests that name none, as settings have them: `NAME=VERSION:SHARE%`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from foretell.catalog import Catalog
from foretell.errors import InvalidSetting, ModelNotFound, nearest


class Share(NamedTuple):
    """One version of a model, and its share, from 0 to 1."""

    name: str
    version: str
    share: float


def shares_of(asked: Iterable[str], what: str, catalog: Catalog) -> dict[str, Share]:
    """By model. `what`: the setting, "canary" or "shadow". Raises `InvalidSetting`."""
    known: dict[str, Share] = {}
    for text in asked:
        share = _read(text, what)
        if share.name in known:
            plural = {"canary": "canaries"}.get(what, f"{what}s")
            raise InvalidSetting(f"model {share.name!r} has two {plural}", where=what, fix="name one")
        _check(share, what, catalog)
        known[share.name] = share
    return known


def _read(text: str, what: str) -> Share:
    name, _, rest = text.partition("=")
    version, _, share = rest.partition(":")
    percent = float(share.removesuffix("%"))
    if not 0 <= percent <= 100:
        raise InvalidSetting(
            f"the share of model {name!r} is out of range", where=what, expected="0% to 100%", got=share
        )
    return Share(name, version, percent / 100)


def _check(share: Share, what: str, catalog: Catalog) -> None:
    try:
        versions = catalog.versions(share.name)
    except ModelNotFound:
        fix = nearest(share.name, catalog.names())
        raise InvalidSetting(f"there is no model {share.name!r} for a {what}", where=what, fix=fix) from None
    if share.version not in versions:
        known = "version " + ", ".join(versions)
        what_is = f"model {share.name!r} has no such version"
        raise InvalidSetting(what_is, where=what, expected=known, got=share.version)
