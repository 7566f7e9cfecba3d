"""Replies that are there only when something else is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from foretell.serve.exchange import Exchange
from foretell.serve.messages import Reply


class Later:
    """Answers when a call has its reply. A caller that goes away changes nothing: what was begun is ended.

    `told`: the reply for an error.
    """

    def __init__(self, told: Callable[[Exchange, Exception], Reply]) -> None:
        self._told = told
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, exchange: Exchange, call: Coroutine[Any, Any, Reply]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(exchange, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, exchange: Exchange, call: Coroutine[Any, Any, Reply]) -> None:
        try:
            reply = await call
        except Exception as error:
            reply = self._told(exchange, error)
        if not exchange.abandoned:
            exchange.respond(reply)
