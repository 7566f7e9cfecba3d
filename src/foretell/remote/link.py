"""The parent's side of one child: its process, the conversation with it, and the memory they share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

from foretell.clock import Clock
from foretell.columns import Batch
from foretell.errors import InferenceError, InvalidInput
from foretell.model import Context, Loss
from foretell.remote.channel import MOST_MESSAGE_BYTES, Channel, ChannelClosed, Garbage
from foretell.remote.faults import fault
from foretell.remote.memory import Files, Reader, TooLarge, Writer
from foretell.remote.messages import BatchNote, Call, Close, FaultNote, Reply, Step, Stop, reply_decoder
from foretell.remote.packing import pack, unpack
from foretell.remote.parameters import told
from foretell.remote.process import Process
from foretell.remote.recipe import Recipe
from foretell.remote.start import pair

_CHILD = "foretell.remote.child"
_LEAVE_S = 5.0
_NOTICE_S = 0.5
_LOOK_S = 0.02
_SMALL_BYTES = 64 * 2**10
"""Two such messages fit into a socket that nobody reads, so that who sends them waits for nobody."""
_NEVER = Context().cancelled


class Link:
    """Not thread-safe but for `process` and `forget`."""

    def __init__(self, recipe: Recipe, on_end: Callable[[], Callable[[], None] | None], name: str) -> None:
        """Starts the child, which loads the model and says so; see `receive`.

        `on_end` is asked once, on a thread of its own, when the child has ended, and what it gives is called: a
        `WeakMethod` gives None once nobody has the other end. Raises `Unavailable`, and `Overloaded` where there is
        no room for the memory they share.
        """
        self._calls = 0
        self._on_end = on_end
        with ExitStack() as shared, ExitStack() as theirs:
            ours, connection = pair()
            shared.callback(ours.close)
            theirs.callback(connection.close)
            lifeline, held = os.pipe()
            shared.callback(os.close, held)
            theirs.callback(os.close, lifeline)
            requests, answers, spare = (shared.enter_context(closing(Files())).numbers for _ in range(3))
            self.channel = Channel(ours)
            self._writer = shared.enter_context(closing(Writer(requests)))
            self._reader = shared.enter_context(closing(Reader((*answers, *spare))))
            given = [(connection.fileno(),), (lifeline,), requests, answers, spare]
            self.process = Process(
                _CHILD, [",".join(map(str, numbers)) for numbers in given], [n for numbers in given for n in numbers],
                self._ended, name,
            )  # fmt: skip
            self._shared = shared.pop_all()
        with suppress(OSError):  # if it has ended already, `receive` tells
            recipe.send(ours)

    def ask(self, batch: Batch, ctx: Context, clock: Clock, limit_s: float | None) -> Reply | None:
        """The reply to a batch; None where it has not come within `limit_s`. `clock`: that of the deadline.

        Raises `InvalidInput` for data or parameters that cannot be sent, and then nothing was; `ChannelClosed`,
        `Garbage`.
        """
        return self._reply(lambda: self._call(batch, ctx, clock), ctx, clock, limit_s)

    def step(
        self, stream: int, begins: Batch | None, ctx: Context, clock: Clock, limit_s: float | None
    ) -> Reply | None:
        """The same for the next item of a stream; `begins`: what the first one is asked for."""

        def asked() -> Step:
            call = None if begins is None else self._call(begins, ctx, clock)
            if call is None:
                self._calls += 1
            return Step(self._calls, stream, call)

        return self._reply(asked, ctx, clock, limit_s)

    def stop(self, stream: int, limit_s: float | None) -> Reply | None:
        """Ends a stream that may have further items. Raises `ChannelClosed` and `Garbage`."""
        self.channel.send(Stop(stream))
        return self.receive(limit_s)

    def _reply(
        self, asked: Callable[[], Call | Step], ctx: Context, clock: Clock, limit_s: float | None
    ) -> Reply | None:
        until = None if limit_s is None else time.monotonic() + limit_s
        try:
            self._send(asked, limit_s)
        except TimeoutError:
            return None
        if ctx.deadline is not None or ctx.cancelled is not _NEVER:
            while not (ctx.cancelled() or (ctx.deadline is not None and clock.monotonic() >= ctx.deadline)):
                soon = _LOOK_S if until is None else min(_LOOK_S, until - time.monotonic())
                reply = self.receive(max(0.0, soon))
                if reply is not None or (until is not None and time.monotonic() >= until):
                    return reply
            self.forget(self._calls)
        return self.receive(None if until is None else max(0.0, until - time.monotonic()))

    def begin(self, batch: Batch, ctx: Context, clock: Clock, place: int) -> int:
        """Sends a small batch and waits for nothing: the number of the call. `place`: for its answer, 0 or 1.

        Raises `InvalidInput` for one that is not small, and what `ask` raises; then nothing was sent.
        """
        self._send(lambda: self._call(batch, ctx, clock, place, small=True), None, _SMALL_BYTES)
        return self._calls

    def forget(self, number: int) -> None:
        """Nobody waits for the answer to that call any more: the child may stop early."""
        self._writer.flag(number)

    def _call(self, batch: Batch, ctx: Context, clock: Clock, place: int = 0, *, small: bool = False) -> Call:
        self._calls += 1
        sequence = None if ctx.sequence is None else (ctx.sequence.id, ctx.sequence.start, ctx.sequence.end)
        note, params = pack(batch, self._writer, inline=small), told(ctx.params)
        until_s = None if ctx.deadline is None else time.monotonic() + (ctx.deadline - clock.monotonic())
        return Call(self._calls, place, note, params, until_s, sequence, ctx.device)

    def _send(
        self, asked: Callable[[], Call | Step], limit_s: float | None, most_bytes: int = MOST_MESSAGE_BYTES
    ) -> None:
        try:
            self.channel.send(asked(), limit_s, most_bytes)
        except TooLarge as error:
            what = "the batch is too large for a process of its own"
            raise InvalidInput(what, got=error, fix="send fewer rows") from error
        except (TypeError, ValueError, OverflowError) as error:
            what = "the batch cannot be sent to the process of its model"
            raise InvalidInput(what, expected="columns of numbers, flags or bytes", got=error) from error

    def ask_to_close(self, timeout_s: float) -> Reply | None:
        """The reply to it. Raises `ChannelClosed` and `Garbage`."""
        self.channel.send(Close())
        return self.receive(timeout_s)

    def receive(self, timeout_s: float | None) -> Reply | None:
        """The next message; None where it has not come within `timeout_s`.

        Raises `ChannelClosed` and `Garbage`.
        """
        message = self.channel.receive(timeout_s)
        return None if message is None else _read(message)

    def arrived(self) -> Iterator[Reply]:
        """What has come and can be read without waiting. Raises `ChannelClosed` and `Garbage`."""
        return map(_read, self.channel.arrived())

    def batch(self, note: BatchNote) -> Batch:
        """The batch of an answer, in memory of its own. Raises `Garbage`."""
        try:
            return unpack(note, self._reader, copy=True)
        except (MemoryError, InferenceError):
            raise
        except Exception as error:  # whatever a note can be wrong in
            raise Garbage(f"no batch: {error}") from error

    def error(self, note: FaultNote) -> InferenceError:
        """Raises `Garbage`."""
        try:
            return fault(note)
        except ValueError as error:
            raise Garbage(str(error)) from error

    def trouble(self, error: ChannelClosed | Garbage) -> tuple[str, Loss]:
        """What is the matter with a process that does not answer as it should."""
        if isinstance(error, Garbage):
            return "answered what is no answer", "not_understood"
        return self.process.ending if self.process.wait(_NOTICE_S) else "closed its connection", "ended"

    def end(self, patience_s: float) -> None:
        """Waits for the child to end by itself, then ends it, and gives back what was shared with it."""
        if not self.process.wait(patience_s):
            self.process.kill()
            self.process.wait(_LEAVE_S)
        self.process.join(_LEAVE_S)
        self._shared.close()

    def abandon(self) -> None:
        """Ends the child at once; nobody is told."""
        self._on_end = _nobody
        self.process.kill()
        self.end(0.0)

    def _ended(self) -> None:
        self.channel.shut()  # wakes whoever waits, even where something that the child has started holds its end
        told = self._on_end()
        if told is not None:
            told()


def _read(message: memoryview) -> Reply:
    try:
        reply: Reply = reply_decoder.decode(message)
    except ValueError as error:
        raise Garbage(f"no reply: {error}") from error
    return reply


def _nobody() -> None:
    """Who is told of the end of a child that was abandoned."""
