"""A worker's line to the other workers: tell them all something, and hear what they reply."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from foretell.errors import InferenceError, NotReady, Overloaded
from foretell.workers.channel import Channel
from foretell.workers.messages import SUPERVISOR, Answers, Ask, Open, Ready, Reply, Told, TooLong, ToWorker

_MOST_ASKED = 256
"""Questions of one worker that wait for their answers."""
_MOST_TOLD = 1024
"""Messages that one worker deals with at a time."""
_SLACK_S = 1.0
"""How much longer than the others have the supervisor has."""

Handler = Callable[[Any], Awaitable[Any]]
"""From the payload of a message to the payload of the reply, both plain JSON. An `InferenceError` is told as one."""


@dataclass(frozen=True, slots=True)
class Replies:
    """What the others said, by worker. `errors`: who could not do it, and why. `missing`: who did not answer."""

    replies: dict[int, Any]
    errors: dict[int, str]
    missing: tuple[int, ...]


class Siblings:
    """Of one worker. All methods belong to the thread of the event loop."""

    def __init__(self, worker: int, workers: int, channel: Channel[ToWorker]) -> None:
        self.worker, self.workers = worker, workers
        self._channel = channel
        self._handlers: dict[str, Handler] = {}
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Replies]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    def on(self, name: str, handler: Handler) -> None:
        """Answers messages of this name. To be called before `ready`, so that none is missed."""
        self._handlers[name] = handler

    async def ready(self, lines: list[str]) -> bool:
        """Tells that this worker is loaded, and waits for its turn to serve; False where the supervisor is gone.

        What the others were told to keep to has been dealt with when it returns.
        """
        self._channel.send(Ready(lines))
        await self._opened
        return not self._left.is_set()

    async def left_alone(self) -> None:
        """Returns when the supervisor is gone."""
        await self._left.wait()

    async def ask(self, name: str, payload: Any = None, *, limit_s: float, keep: str | None = None) -> Replies:
        """Tells all other workers something, and waits at most `limit_s` for what they reply.

        `keep`: a key under which the message is kept for workers that start later, so that they come to the same; the
        next message under that key replaces it. Raises `Overloaded` where too much is asked already, `NotReady` where
        the supervisor does not answer.
        """
        told = await self._ask(name, payload, limit_s, keep)
        if SUPERVISOR in told.errors:
            raise Overloaded(told.errors[SUPERVISOR], fix="try again later")
        return told

    async def ask_supervisor(self, name: str, payload: Any = None, *, limit_s: float) -> Any:
        """What the supervisor itself replies. Raises `NotReady` where it does not, `Overloaded` as `ask` does."""
        told = await self._ask(name, payload, limit_s, None)
        if SUPERVISOR not in told.replies:
            raise NotReady(told.errors.get(SUPERVISOR, "the supervisor of the workers has no answer"))
        return told.replies[SUPERVISOR]

    async def _ask(self, name: str, payload: Any, limit_s: float, keep: str | None) -> Replies:
        if len(self._asked) >= _MOST_ASKED:
            raise Overloaded("too many questions to the other workers wait already", fix="try again later")
        number = next(self._numbers)
        answer: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            # The first bytes to a side that has closed still count as sent.
            if self._left.is_set() or not self._channel.send(Ask(number, name, payload, limit_s, keep)):
                raise _unheard()
            async with asyncio.timeout(limit_s + _SLACK_S):
                return await answer
        except TimeoutError:
            raise _unheard() from None
        except TooLong as error:
            raise Overloaded("too much to tell the other workers at a time", got=error) from None
        finally:
            del self._asked[number]

    async def close(self) -> None:
        """Ends the line; what is being answered is dropped."""
        for task in (self._listening, *self._tasks):
            task.cancel()
        await asyncio.gather(self._listening, *self._tasks, return_exceptions=True)
        self._channel.close()

    async def _listen(self) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                if isinstance(message, Answers):
                    asked = self._asked.get(message.number)
                    if asked is not None and not asked.done():
                        asked.set_result(Replies(message.replies, message.errors, tuple(message.missing)))
                elif isinstance(message, Told):
                    self._begin(message)
                elif isinstance(message, Open):
                    await self._open(message)
        finally:
            self._left.set()
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_exception(_unheard())
            if not self._opened.done():
                self._opened.set_result(None)

    def _begin(self, told: Told) -> None:
        if len(self._tasks) >= _MOST_TOLD:
            self._channel.send(Reply(told.number, error="this worker has too much to do"))
            return
        task = asyncio.create_task(self._reply(told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, message: Open) -> None:
        for told in message.before:
            await self._handled(told)
        if not self._opened.done():
            self._opened.set_result(None)

    async def _reply(self, told: Told) -> None:
        reply = await self._handled(told)
        try:
            self._channel.send(reply)
        except TooLong:
            self._channel.send(Reply(told.number, error="the reply is too long"))

    async def _handled(self, told: Told) -> Reply:
        handler = self._handlers.get(told.name)
        if handler is None:
            return Reply(told.number, error=f"this worker knows nothing of {told.name!r}")
        try:
            return Reply(told.number, await handler(told.payload))
        except InferenceError as error:
            return Reply(told.number, error=str(error))
        except Exception as error:
            context = {"message": f"a message to the workers failed: {told.name!r}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            return Reply(told.number, error="internal error")


def _unheard() -> NotReady:
    return NotReady("the supervisor of the workers does not answer", fix="try again later")
