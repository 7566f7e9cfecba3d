"""Compressing and decompressing beside the event loop: what takes long there would hold up everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from foretell.errors import InferenceError, Overloaded
from foretell.serve.codings import decompressed, plain_if_small
from foretell.serve.exchange import Exchange
from foretell.serve.held import SMALL_BYTES

_THREADS = 2
_MOST_WAITING = 64
"""Beyond it bodies are refused, and replies leave as they are."""

ResultT = TypeVar("ResultT")


class Packer:
    """Calls that take time, for exchanges that wait for them. Everything but the calls themselves is the loop's."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self.waiting = 0

    @property
    def has_room(self) -> bool:
        return self.waiting < _MOST_WAITING

    def begin(
        self,
        exchange: Exchange,
        call: Callable[[], ResultT],
        then: Callable[[ResultT], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Runs `call` on a thread, then `then` with what it gave, or `failed`; neither where nobody waits any more."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="foretell-pack")
        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        self.waiting += 1
        exchange.work = _Waiting(future)

        def ended(_: object) -> None:
            self.waiting -= 1
            error = None if future.cancelled() else future.exception()
            if future.cancelled() or exchange.abandoned or exchange.out is not None:
                return
            exchange.work = None
            if error is None:
                then(future.result())
            else:
                failed(error if isinstance(error, Exception) else RuntimeError("it was ended"))

        future.add_done_callback(ended)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


class _Waiting:
    """The work of an exchange, for who gives it up."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[ResultT]) -> None:
        self._future = future

    def cancel(self) -> None:
        self._future.cancel()


class Unpacker:
    """Bodies without their `Content-Encoding`.

    `again`: has a handler answer an exchange, and never raises. `error`: answers with one.
    """

    def __init__(
        self,
        packer: Packer,
        most_bytes: int,
        again: Callable[[Exchange, Callable[[Exchange], None]], None],
        error: Callable[[Exchange, Exception], None],
    ) -> None:
        self._packer, self._most_bytes, self._again, self._error = packer, most_bytes, again, error

    def unpack(
        self, exchange: Exchange, handler: Callable[[Exchange], None], refused: Callable[[str], None] | None = None
    ) -> None:
        """Has `handler` answer the exchange when its body is plain; at once where it is small.

        `refused` is told the code of an error. Raises `InferenceError` for a body that cannot be.
        """

        def fail(error: Exception) -> None:
            if refused is not None and isinstance(error, InferenceError):
                refused(error.code)
            self._error(exchange, error)

        def go_on(body: bytes | memoryview) -> None:
            try:
                self._take(exchange, body)
            except InferenceError as error:
                fail(error)
            else:
                self._again(exchange, handler)

        encoding, packed = exchange.headers[b"content-encoding"], exchange.body
        try:
            small = plain_if_small(packed, encoding, SMALL_BYTES, self._most_bytes)
            if small is None and not self._packer.has_room:
                raise Overloaded("too many compressed bodies wait", fix="try again later")
            if small is not None:
                self._take(exchange, small)
        except InferenceError as error:
            if refused is not None:
                refused(error.code)
            raise
        if small is None:
            self._packer.begin(exchange, lambda: decompressed(packed, encoding, self._most_bytes), go_on, fail)
        else:
            handler(exchange)

    def _take(self, exchange: Exchange, body: bytes | memoryview) -> None:
        """Raises `HttpError` 503 where it is more than may be held."""
        if len(body) > SMALL_BYTES and body is not exchange.body:
            exchange.hold(len(body))
        exchange.body = body
        # Another mapping: heads that were remembered share theirs.
        exchange.headers = {name: value for name, value in exchange.headers.items() if name != b"content-encoding"}
