"""What the child process does: loads the model of the recipe, then answers one call after the other."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import msgspec
import numpy as np

from foretell.columns import Batch
from foretell.errors import InferenceError, InvalidModel, ModelError, causes, said
from foretell.model import Context
from foretell.model import Sequence as Conversation
from foretell.remote.channel import Channel, ChannelClosed
from foretell.remote.faults import fault_note, text
from foretell.remote.loading import Loaded, load
from foretell.remote.memory import Reader, TooLarge, Writer
from foretell.remote.messages import (
    Answer,
    Call,
    Close,
    Closed,
    Failed,
    Hello,
    ModelNote,
    OutOfMemory,
    Reply,
    Step,
    Stop,
    request_decoder,
)
from foretell.remote.packing import pack, unpack
from foretell.remote.parameters import heard
from foretell.remote.recipe import Recipe
from foretell.remote.streaming import OpenStreams
from foretell.types import ModelSpec

_OWN_BACKENDS = "foretell.backends."
_CLOSE_S = 10.0
_HEARD_S = 5.0
"""In that time the parent reads why this process is lost, and ends it."""


def work(
    recipe: Recipe, connection: socket.socket, requests: Sequence[int], answers: Sequence[int], spare: Sequence[int]
) -> None:
    """`requests`, `answers`, `spare`: descriptors of the shared memory. Returns once the model is closed or could not
    load."""
    channel = Channel(connection)
    try:
        loaded = load(recipe)
        writers = Writer(answers), Writer(spare, len(answers))
        worker = _Worker(loaded, channel, Reader(requests), writers)
        channel.send(worker.hello())
    except InferenceError as error:
        if _is_memory_error(error):
            _give_up(channel)
        channel.send(Failed(fault_note(error), None))
        return
    gc.collect()
    gc.freeze()
    try:
        worker.run()
    except MemoryError:
        _give_up(channel)
    except ChannelClosed:
        return


class _Worker:
    def __init__(self, loaded: Loaded, channel: Channel, reader: Reader, writers: tuple[Writer, Writer]) -> None:
        self._loaded, self._channel, self._reader, self._writers = loaded, channel, reader, writers
        self._model, self._where = loaded.opened.model, loaded.where
        self._streams, self._number = OpenStreams(), 0
        self._told: tuple[object, object, object] = (None, None, None)
        # Our own backends neither keep nor change what they are given; a user's model may do both.
        self._copy = not type(self._model).__module__.startswith(_OWN_BACKENDS)

    def hello(self) -> Hello:
        """Raises `InvalidModel` where what the model says of itself is not what it should be."""
        model, opened = self._news(), self._loaded.opened
        variant = {text(key): text(value) for key, value in self._model.variant().items()}
        return Hello(
            model or ModelNote(self._model.spec, False, False), variant, opened.name, opened.digest,
            text(opened.source), opened.framework, opened.size_bytes, opened.passes, opened.permission,
            self._model.trials,
        )  # fmt: skip

    def run(self) -> None:
        while True:
            message = self._channel.receive()
            request = request_decoder.decode(message or b"")
            del message
            if isinstance(request, Close):
                self._say(self._close())
                return
            if isinstance(request, Stop):
                self._streams.stop(request.stream)
                self._say(Answer(None, self._news(), 0.0))
            else:
                self._number = request.number
                self._say(self._answer(request))

    def _answer(self, asked: Call | Step) -> Reply:
        try:
            started = time.monotonic()
            if isinstance(asked, Call):
                place = asked.place
                answer: Batch | None = self._called(asked)
            else:
                place, answer = 0, self._stepped(asked)
            note = None if answer is None else pack(answer, self._writers[place])
            return Answer(note, self._news(), time.monotonic() - started)
        except InferenceError as error:
            if _is_memory_error(error):
                raise MemoryError from error
            return self._failed(error)
        except TooLarge as error:
            return self._failed(ModelError("its answer is too large for a process of its own", where=self._where,
                                           got=error))  # fmt: skip
        except (TypeError, ValueError) as error:
            return self._failed(self._stays_here(error))
        except KeyboardInterrupt:  # nobody's Ctrl-C gets here: the model has raised it, as it may anything
            return self._failed(ModelError("predict failed: KeyboardInterrupt", where=self._where))

    def _called(self, call: Call) -> Batch:
        batch = unpack(call.batch, self._reader, copy=self._copy)
        return self._loaded.replica.run(batch, _context(call, self._is_cancelled), retry=False)

    def _stepped(self, step: Step) -> Batch | None:
        call = step.begins
        if call is None:
            return self._streams.step(step.stream, None)
        batch = unpack(call.batch, self._reader, copy=True)  # the next step overwrites it
        ctx = _context(call, self._is_cancelled)
        return self._streams.step(step.stream, lambda: self._loaded.replica.stream(batch, ctx, nullcontext()))

    def _is_cancelled(self) -> bool:
        """Whether nobody waits any more for what is asked now."""
        return self._reader.flags[self._number & 1] == self._number

    def _close(self) -> Reply:
        self._streams.close()
        try:
            self._loaded.replica.close(_CLOSE_S)
        except InferenceError as error:
            return Failed(fault_note(error), None)
        except (Exception, SystemExit) as error:
            what = f"close failed: {said(error)}"
            return Failed(fault_note(ModelError(what, where=self._where)), None)
        return Closed()

    def _say(self, reply: Reply) -> None:
        try:
            self._channel.send(reply)
        except (TypeError, ValueError, OverflowError) as error:  # before anything was sent
            self._channel.send(self._failed(self._stays_here(error)))

    def _stays_here(self, error: Exception) -> ModelError:
        expected = "columns of numbers, flags or bytes"
        return ModelError("its answer cannot leave its process", where=self._where, expected=expected, got=error)

    def _failed(self, error: InferenceError) -> Failed:
        try:
            news = self._news()
        except InvalidModel as wrong:
            error, news = wrong, None
        return Failed(fault_note(error), news)

    def _news(self) -> ModelNote | None:
        """What the model says of itself, if that is not what it has said before."""
        spec, bare, only = self._model.spec, self._model.bare_output, self._model.only_streams
        if spec is self._told[0] and bare is self._told[1] and only is self._told[2]:
            return None
        note = ModelNote(_plain(spec, self._where), bool(bare), bool(only))
        self._told = (spec, bare, only)
        return note


def _context(call: Call, is_cancelled: Callable[[], bool]) -> Context:
    return Context(
        heard(call.params),
        call.until_s,
        is_cancelled,
        None if call.sequence is None else Conversation(*call.sequence),
        call.device,
    )


def _plain(spec: ModelSpec, where: str) -> ModelSpec:
    """The spec in values that can be told. Raises `InvalidModel`."""
    try:
        return msgspec.convert(msgspec.to_builtins(spec, enc_hook=_without_numpy), ModelSpec)
    except (msgspec.ValidationError, TypeError, ValueError, NotImplementedError) as error:
        expected = "a ModelSpec of plain values"
        raise InvalidModel("its spec is wrong", where=where, expected=expected, got=error) from error


def _without_numpy(value: object) -> object:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise NotImplementedError(f"a {type(value).__name__}")


def _is_memory_error(error: BaseException) -> bool:
    return any(isinstance(each, MemoryError) for each in causes(error))


def _give_up(channel: Channel) -> None:
    """A process without memory is not to be trusted with another call."""
    try:
        channel.send(OutOfMemory())
        # Who ends by itself is taken for one that has, before what it said is read. What comes may be the next call.
        while channel.receive(_HEARD_S) is not None:
            continue
    finally:
        os._exit(1)
