"""What one of several processes answers for all of them: whoever asks cannot know which one it reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from foretell.observe.prometheus import CONTENT_TYPE
from foretell.serve.exchange import Exchange
from foretell.serve.later import Later
from foretell.serve.messages import Reply

Key = tuple[str, str]
"""Name and version of a model."""


class Others(Protocol):
    """The other processes."""

    async def metrics(self) -> str:
        """Of all processes, this one included. Raises `NotReady`, `Overloaded`."""

    async def ready(self, key: Key | None) -> bool:
        """Whether no other process says that it, or this model in it, is not ready."""

    async def load(self, name: str) -> None:
        """Has them load a model that this process has loaded. Raises `NotReady` where not all could."""

    async def unload(self, name: str) -> None:
        """Has them take out a model that this process has taken out. Raises `NotReady`."""


class Together:
    """Answers when the others have said their part."""

    def __init__(self, others: Others, later: Later) -> None:
        self._others, self._later = others, later

    def metrics(self, exchange: Exchange) -> None:
        self._later.begin(exchange, self._metrics())

    def ready(self, exchange: Exchange, key: Key | None, reply: Callable[[bool], Reply]) -> None:
        """For a process that is ready itself."""
        self._later.begin(exchange, self._ready(key, reply))

    async def _metrics(self) -> Reply:
        return Reply((await self._others.metrics()).encode(), content_type=CONTENT_TYPE.encode())

    async def _ready(self, key: Key | None, reply: Callable[[bool], Reply]) -> Reply:
        return reply(await self._others.ready(key))
