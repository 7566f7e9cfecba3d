"""A model that runs in a child process, as a `Model` like any other."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from typing import TypeVar

from foretell.backends import Opened
from foretell.clock import Clock, SystemClock
from foretell.columns import Batch
from foretell.errors import Cancelled, InferenceError, InvalidModel, NotReady, ReplicaLost
from foretell.model import Context, Done, Loss, Model
from foretell.remote.begun import Begun, abandon, check_time
from foretell.remote.channel import ChannelClosed, Garbage
from foretell.remote.link import Link
from foretell.remote.messages import Answer, Failed, Hello, ModelNote, OutOfMemory, Reply
from foretell.remote.recipe import Recipe
from foretell.remote.streaming import drawn

AnswerT = TypeVar("AnswerT")

_CLOSE_S = 10.0


class RemoteModel(Model):
    """Runs the model of `recipe` in a process of its own, all three stages of it in `predict`.

    One call runs at a time; an event loop may have begun the next one (`begin`). When the process has ended other than
    by `close`, whoever watches is told once, on a thread of its own; from then on `lost` is true, `loss` says why, and
    every call raises `ReplicaLost`. `digest`: what the artefact must have. Safe from any thread.
    """

    apart = True
    forks = True

    def __init__(self, recipe: Recipe, *, digest: str | None = None, clock: Clock | None = None) -> None:
        self.recipe, self._digest = recipe, digest
        self._on_lost: Callable[[], None] | None = None
        self._clock: Clock = clock or SystemClock()
        self._settings = recipe.model_settings()
        self._where = f"model {recipe.name!r}"
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._link: Link | None = None
        self._begun: Begun | None = None
        self._small = True
        """Whether answers come with their messages, so that taking one holds up no event loop."""
        self._hello: Hello | None = None
        self._ahead: str | None = None
        self._lost: str | None = None
        self._noticed = self._closed = False
        self._streams = 0

    @property
    def lost(self) -> bool:
        return self._lost is not None

    @property
    def pid(self) -> int | None:
        """Of the child, once it is started."""
        return None if self._link is None else self._link.process.pid

    @property
    def opened(self) -> Opened:
        """What opening the model in this process would have told. Raises `NotReady` before `load`."""
        told = self._hello
        if told is None:
            raise NotReady("the model is not loaded", where=self._where)
        return Opened(
            self, told.name, told.digest, told.source, told.framework, told.size_bytes, told.passes, told.permission
        )

    def open(self, device: str) -> Opened:
        """Loads it, for who must know first what it is; a `load` for the same device then finds that done."""
        self.load(device)
        self._ahead = device
        return self.opened

    def load(self, device: str) -> None:
        """Starts the process and waits until it has loaded the model.

        Raises what loading the model here would raise; `InvalidModel` where the artefact is another one; `NotReady`
        where it takes longer than `load_timeout_s`; `ReplicaLost` where the process ends over it.
        """
        with self._turn:
            ahead, self._ahead = self._ahead, None
            if ahead == device:
                self._ready()
                return
            link = self._started(device)
            try:
                hello = self._greeting(link)
                if self._digest is not None and hello.digest != self._digest:
                    what = "the file is not the one this version was loaded from"
                    raise InvalidModel(what, where=hello.source, fix="load the model again, or put that file back")
                self._learn(hello.model)
                with self._guard:  # who ends from here on is noticed by `_ended`
                    if link.process.ended.is_set():
                        raise self._ended_early(link.process.ending)
                    self._hello, self.trials = hello, hello.trials
            except BaseException:
                link.process.kill()
                link.end(0.0)
                raise

    def watch(self, on_lost: Callable[[], None]) -> None:
        with self._guard:
            self._on_lost = on_lost
            if not self._noticed:
                return
        on_lost()

    def give_up(self) -> None:
        link = self._link
        if link is not None:
            self._lose(link, "took too long", "hung")

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """The answer of all stages. Raises what the model raises, and `ReplicaLost` when its process has ended, hung
        for `call_timeout_s` or answered what is no answer."""
        limit_s = self._settings.call_timeout_s
        try:
            return self._asked(lambda link: self.answer(link, link.ask(batch, ctx, self._clock, limit_s)))
        except Cancelled:
            check_time(ctx, self._clock, self._where)
            raise

    def stream(self, batch: Batch, ctx: Context) -> Generator[Batch]:
        """The items, each asked for when it is wanted; other calls have their turn in between. Raises as `predict`."""
        limit_s = self._settings.call_timeout_s
        with self._guard:
            self._streams += 1
            number = self._streams

        def step(begins: bool) -> Batch | None:
            first = batch if begins else None
            item = self._asked(lambda link: self._item(link, link.step(number, first, ctx, self._clock, limit_s)))
            if item is None:
                check_time(ctx, self._clock, self._where)
            return item

        return drawn(step, lambda: self._asked(lambda link: self._item(link, link.stop(number, limit_s))))

    def _asked(self, ask: Callable[[Link], AnswerT]) -> AnswerT:
        """What comes of one request to the process, in its turn."""
        with self._turn:
            try:
                link = self._ready()
                self._settle(link, self._settings.call_timeout_s)
                return ask(link)
            except (ChannelClosed, Garbage) as error:
                raise self._lose(link, *link.trouble(error)) from error
            except (InferenceError, MemoryError):  # the conversation is in order
                raise
            except BaseException:  # the answer may still come, and would be taken for that to another call
                self._lose(link, "was left in the middle of a call", "ended")
                raise
            finally:  # a loop that found the turn taken has left its own to who has it
                self._end_begun()

    def begin(self, batch: Batch, ctx: Context, done: Done) -> bool:
        """One more call while another one is begun at most, of a small batch, while answers are small."""
        if not self._small or not self._turn.acquire(blocking=False):
            return False
        try:
            if self._begun is None or self._hello is None or self._lost is not None or self._closed:
                return False
            return self._begun.send(batch, ctx, done)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Closes the model in its process, then ends that, within a bounded time. Harmless when repeated.

        Raises what closing the model raises. A call that lasts longer, or the loading, ends with `NotReady`.
        """
        with self._guard:
            if self._closed:
                return
            self._closed, self._on_lost = True, None  # which would hold who watches
            link, loaded = self._link, self._hello is not None
        if link is None:
            return
        until = time.monotonic() + _CLOSE_S
        if not loaded or not self._turn.acquire(timeout=_CLOSE_S):
            link.process.kill()
            self._turn.acquire()  # whoever has it finds the conversation ended
        failure = None
        try:
            if self._begun is not None and loaded and not self.lost:
                failure = self._begun.farewell(until - time.monotonic())
        finally:
            if self._begun is not None:
                self._begun.end(self._is_closed())
                self._begun.stop()
            link.end(until - time.monotonic())
            self._turn.release()
        if failure is not None:
            raise failure

    def variant(self) -> Mapping[str, str]:
        """Empty before `load`."""
        return {} if self._hello is None else self._hello.variant

    def _started(self, device: str) -> Link:
        recipe = dataclasses.replace(self.recipe, settings={**self.recipe.settings, "device": device})
        with self._guard:
            if self._closed:
                raise self._is_closed()
            if self._link is not None:
                raise NotReady("the model was loaded before", where=self._where)
            link = Link(recipe, weakref.WeakMethod(self._ended), recipe.name)
            self._link, self._begun = link, Begun(link, self._turn, weakref.ref(self), self._clock, self._where)
        weakref.finalize(self, abandon, link, self._begun, os.getpid())
        return link

    def _greeting(self, link: Link) -> Hello:
        limit_s = self._settings.load_timeout_s
        try:
            reply = link.receive(limit_s)
            if isinstance(reply, Hello):
                return reply
            if isinstance(reply, Failed):
                raise link.error(reply.fault)
        except (ChannelClosed, Garbage) as error:
            raise self._ended_early(link.trouble(error)[0]) from error
        if reply is None:
            what, fix = f"loading took longer than {limit_s:g} s", "give it more with load_timeout_s"
            raise NotReady(what, where=self._where, fix=fix)
        raise self._ended_early("ran out of memory")

    def _ready(self) -> Link:
        link = self._link
        if self._closed:
            raise self._is_closed()
        if link is None or self._hello is None:
            raise NotReady("the model is not loaded", where=self._where)
        if self._lost is not None:
            raise self._is_lost(self._lost)
        return link

    def answer(self, link: Link, reply: Reply | None) -> Batch:
        """What a reply to a call says. Raises what it says went wrong, and `Garbage`."""
        answer = self._item(link, reply)
        if answer is None:
            raise Garbage("an answer without a batch")
        return answer

    def _item(self, link: Link, reply: Reply | None) -> Batch | None:
        """The same of a step of a stream; None at its end."""
        if isinstance(reply, (Answer, Failed)):
            if reply.model is not None:
                self._learn(reply.model)
            if isinstance(reply, Failed):
                raise link.error(reply.fault)
            self._small = reply.batch is None or not reply.batch.shared
            return None if reply.batch is None else link.batch(reply.batch)
        if reply is None:
            raise self._lose(link, f"took longer than {self._settings.call_timeout_s} s for a call", "hung")
        if isinstance(reply, OutOfMemory):
            raise self._lose(link, "ran out of memory", "out_of_memory")
        raise Garbage("a reply to another request")

    def break_off(self, link: Link, error: ChannelClosed | Garbage) -> None:
        """What was read while only calls were begun is the end, or no answer."""
        with self._turn:
            self._lose(link, *link.trouble(error))
            self._end_begun()

    def _settle(self, link: Link, limit_s: float | None) -> None:
        """Takes the answers to the calls that are begun. Raises `ReplicaLost`, `ChannelClosed`, `Garbage`."""
        if self._begun and not self._begun.settle(limit_s):
            raise self._lose(link, f"took longer than {self._settings.call_timeout_s} s for a call", "hung")

    def _end_begun(self) -> None:
        if self._lost is not None and self._begun:
            self._begun.end(self._is_lost(self._lost))

    def _learn(self, note: ModelNote) -> None:
        # One process answers one call after the other, whatever the model could do.
        self.spec = note.spec.with_changes(concurrent=False)
        self.bare_output, self.only_streams = note.bare_output, note.only_streams

    def _lose(self, link: Link, what: str, loss: Loss) -> NotReady:
        """Ends the process, which `what` is the matter with."""
        with self._guard:
            if self._closed:
                return self._is_closed()
            if self._lost is None:
                self._lost, self.loss = what, loss
        link.process.kill()
        return self._is_lost(self._lost)

    def _ended(self) -> None:
        """Called by the watching thread."""
        link = self._link
        with self._guard:
            if self._closed or self._hello is None or link is None:
                return
            if self._lost is None:
                self._lost, self.loss = link.process.ending, "ended"
            self._noticed, on_lost = True, self._on_lost
        if on_lost is not None:
            on_lost()

    def _ended_early(self, what: str) -> NotReady:
        if self._closed:
            return self._is_closed()
        return ReplicaLost(f"its process {what} while it loaded the model", where=self._where)

    def _is_lost(self, what: str) -> ReplicaLost:
        return ReplicaLost(f"its process {what}", where=self._where, fix="try again")

    def _is_closed(self) -> NotReady:
        return NotReady("the model is closed", where=self._where)
