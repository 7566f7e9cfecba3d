"""Versions that are tried on what others answer: canaries, and shadows. They answer nothing else of what names no
version."""

from __future__ import annotations

from typing import Any

from foretell.catalog import Catalog
from foretell.config import ServerSettings
from foretell.errors import InvalidSetting, ModelNotFound
from foretell.repository.room import Room
from foretell.serve.canary import Canary
from foretell.serve.shadow import Shadow, shadow_exposition
from foretell.serve.shares import shares_of


class Trials:
    """By model."""

    def __init__(self, settings: ServerSettings, catalog: Catalog, room: Room | None) -> None:
        """Raises `InvalidSetting`."""
        self._catalog = catalog
        canaries = shares_of(settings.canary, "canary", catalog)
        shadows = shares_of(settings.shadow, "shadow", catalog)
        self._canaries = {name: Canary(share) for name, share in canaries.items()}
        self._aside = {name: {s[name].version for s in (canaries, shadows) if name in s} for name in canaries | shadows}
        for name, aside in self._aside.items():
            if self.rest(name) is None:
                what = f"model {name!r} has no other version, which would answer the rest"
                got = f"version {', '.join(sorted(aside))} alone"
                where = "canary" if name in canaries else "shadow"
                raise InvalidSetting(what, where=where, got=got, fix="load another version beside it")
        limit_s = settings.request_timeout_s
        self._shadows = {name: Shadow(share, catalog, limit_s, room) for name, share in shadows.items()}

    def rest(self, name: str) -> str | None:
        """Who answers what names no version; None: whoever the catalogue says."""
        aside = self._aside.get(name)
        others = [version for version in self._versions(name) if version not in aside] if aside else []
        return others[-1] if others else None

    def canary(self, name: str) -> Canary | None:
        """While it is there and another version is, too."""
        canary = self._canaries.get(name)
        return canary if canary is not None and self._stands_beside(name, canary.version) else None

    def shadow(self, name: str) -> Shadow | None:
        """While it is there and another version is, too."""
        shadow = self._shadows.get(name)
        return shadow if shadow is not None and self._stands_beside(name, shadow.version) else None

    def report(self, name: str) -> dict[str, Any]:
        """What `config` says of a model."""
        told: dict[str, Any] = {}
        if canary := self._canaries.get(name):
            there = canary.version in self._versions(name)
            told["canary"] = {"version": canary.version, "share": canary.share, "there": there}
        if shadow := self._shadows.get(name):
            told["shadow"] = {"there": shadow.version in self._versions(name), **shadow.report()}
        return told

    def exposition(self) -> str:
        """The metrics of the shadows."""
        return shadow_exposition(list(self._shadows.values()))

    def close(self) -> None:
        """No shadow computes after it, but for the call that it is in."""
        for shadow in self._shadows.values():
            shadow.close()

    def _stands_beside(self, name: str, version: str) -> bool:
        return version in self._versions(name) and self.rest(name) is not None

    def _versions(self, name: str) -> list[str]:
        try:
            return self._catalog.versions(name)
        except ModelNotFound:
            return []
