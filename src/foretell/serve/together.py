"""What one of several processes answers for all of them: whoever asks cannot know which one it reached."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from foretell.errors import InferenceError
from foretell.observe.prometheus import CONTENT_TYPE
from foretell.serve.exchange import Exchange
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
    """Answers when the others have said their part. `failed`: the reply for a mistake of ours."""

    def __init__(
        self,
        others: Others,
        error_reply: Callable[[InferenceError], Reply],
        failed: Callable[[Exchange, Exception], Reply],
    ) -> None:
        self._others, self._error_reply, self._failed = others, error_reply, failed
        self._tasks: set[asyncio.Task[None]] = set()

    def metrics(self, exchange: Exchange) -> None:
        self._begin(exchange, self._metrics())

    def ready(self, exchange: Exchange, key: Key | None, reply: Callable[[bool], Reply]) -> None:
        """For a process that is ready itself."""
        self._begin(exchange, self._ready(key, reply))

    async def _metrics(self) -> Reply:
        return Reply((await self._others.metrics()).encode(), content_type=CONTENT_TYPE.encode())

    async def _ready(self, key: Key | None, reply: Callable[[bool], Reply]) -> Reply:
        return reply(await self._others.ready(key))

    def _begin(self, exchange: Exchange, answer: Coroutine[Any, Any, Reply]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(exchange, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, exchange: Exchange, answer: Awaitable[Reply]) -> None:
        try:
            reply = await answer
        except InferenceError as error:
            reply = self._error_reply(error)
        except Exception as error:
            reply = self._failed(exchange, error)
        if not exchange.abandoned:
            exchange.respond(reply)
