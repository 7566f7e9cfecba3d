"""A call in a thread of its own, for an event loop that may stop waiting for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from foretell.errors import DeadlineExceeded, InferenceError, ModelError, NotReady

ResultT = TypeVar("ResultT")


class Aside(Generic[ResultT]):
    """Begins `call` at once, on a daemon thread. `undo`: takes back what the call gave when nobody waits for it.

    A thread cannot be ended. This one has nothing else to do, so that a call that never returns is in nobody's way.
    """

    def __init__(self, call: Callable[[], ResultT], name: str, undo: Callable[[ResultT], object] | None = None) -> None:
        self._call, self._undo = call, undo
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[ResultT] = self._loop.create_future()
        self._over = asyncio.Event()
        self._lock = threading.Lock()
        self._called = False
        self.given_up = False
        """Nobody waits for the call any more, and it may go on."""
        threading.Thread(target=self._run, name=f"foretell-{name}", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether the thread has nothing more to do."""
        return self._over.is_set()

    async def over(self) -> None:
        await self._over.wait()

    async def result(self, limit_s: float | None = None, stopping: asyncio.Event | None = None) -> ResultT:
        """What the call gave. Raises what it raised, as an `InferenceError`.

        After `limit_s` it is given up with `DeadlineExceeded`; when `stopping` is set, with `NotReady`.
        """
        stop = asyncio.ensure_future((stopping or asyncio.Event()).wait())
        try:
            waited: list[asyncio.Future[Any]] = [self._answer, stop]
            await asyncio.wait(waited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            with self._lock:
                self.given_up = not self._called
        if self._called:
            return await self._answer
        if stopping is not None and stopping.is_set():
            raise NotReady("the server is shutting down", fix="try again elsewhere")
        raise DeadlineExceeded(f"it took longer than {limit_s:g} s")

    def _run(self) -> None:
        error: InferenceError | None = None
        try:
            result = self._call()
        except InferenceError as failure:
            error = _bare(failure)
        except BaseException as failure:  # whatever it is, it ends this call and somebody is told
            error = ModelError(f"{type(failure).__name__}: {failure}")
        with self._lock:
            self._called = not self.given_up
        if error is not None:
            self._tell(self._fail, error)
        elif not (self._called and self._tell(self._answer.set_result, result)) and self._undo is not None:
            with contextlib.suppress(InferenceError):
                self._undo(result)
        self._tell(self._over.set)

    def _fail(self, error: InferenceError) -> None:
        if self._called:
            self._answer.set_exception(error)

    def _tell(self, call: Callable[..., object], *arguments: object) -> bool:
        """Runs `call` on the loop; False for a loop that has closed."""
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            return False
        return True


def _bare(error: InferenceError) -> InferenceError:
    """Without the frames it came through: they hold what was half loaded, for as long as somebody has the error."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error
