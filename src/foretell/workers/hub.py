"""The supervisor's side of the line between workers: passes on what one says, and collects what the others reply."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from foretell.errors import InferenceError
from foretell.workers.messages import SUPERVISOR, Answers, Ask, Open, Reply, Told, TooLong, ToWorker

_MOST_ASKED = 256
"""Questions of one worker that are dealt with at a time."""
_MOST_KEPT = 10_000
_LONGEST_S = 3600.0

Service = Callable[[Any], Awaitable[Any]]


class Line(Protocol):
    """To one worker."""

    def send(self, message: ToWorker) -> bool: ...


@dataclass(slots=True)
class _Question:
    """Something that was told to several workers, and what has come back."""

    expected: set[int]
    done: asyncio.Event = field(default_factory=asyncio.Event)
    replies: dict[int, Any] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)

    def heard(self, worker: int) -> None:
        self.expected.discard(worker)
        if not self.expected:
            self.done.set()


class Hub:
    """Who is there, who has been asked what, and what is kept for those who come later."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._questions: dict[int, _Question] = {}
        self._kept: dict[str, Told] = {}
        self._services: dict[str, Service] = {}
        self._numbers = itertools.count()
        self._busy: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, name: str, service: Service) -> None:
        """Questions of this name are answered here, not by the other workers."""
        self._services[name] = service

    def present(self) -> list[int]:
        """The workers that serve."""
        return sorted(self._lines)

    def joins(self, worker: int, line: Line) -> None:
        """It is loaded: it is told what the others keep to, and hears from now on what they hear."""
        line.send(Open(list(self._kept.values())))
        self._lines[worker] = line

    def leaves(self, worker: int) -> None:
        """It is gone, and so are its questions and its replies."""
        self._lines.pop(worker, None)
        for question in self._questions.values():
            question.heard(worker)

    def asks(self, worker: int, ask: Ask) -> None:
        """Answers it in time, in the background."""
        if self._busy.get(worker, 0) >= _MOST_ASKED:
            self._answer(worker, Answers(ask.number, {}, {SUPERVISOR: "too many questions wait already"}, []))
            return
        self._busy[worker] = self._busy.get(worker, 0) + 1
        task = asyncio.create_task(self._deal_with(worker, ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def replied(self, worker: int, reply: Reply) -> None:
        question = self._questions.get(reply.number)
        if question is None or worker not in question.expected:
            return  # too late
        if reply.error is not None:
            question.errors[worker] = reply.error
        else:
            question.replies[worker] = reply.payload
        question.heard(worker)

    async def gather(
        self, workers: Iterable[int], name: str, payload: Any, limit_s: float
    ) -> tuple[dict[int, Any], dict[int, str]]:
        """Replies and errors of those of `workers` that answer within `limit_s`. Raises `TooLong`."""
        number = next(self._numbers)
        told = Told(number, name, payload)
        question = self._questions[number] = _Question(set())
        try:
            question.expected = {each for each in workers if each in self._lines and self._lines[each].send(told)}
            if question.expected:
                async with asyncio.timeout(min(limit_s, _LONGEST_S)):
                    await question.done.wait()
        except TimeoutError:
            pass  # those who did answer are what there is
        finally:
            del self._questions[number]
        return question.replies, question.errors

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _deal_with(self, worker: int, ask: Ask) -> None:
        try:
            self._answer(worker, await self._answers(worker, ask))
        finally:
            self._busy[worker] -= 1

    async def _answers(self, worker: int, ask: Ask) -> Answers:
        service = self._services.get(ask.name)
        if service is not None:
            try:
                return Answers(ask.number, {SUPERVISOR: await service(ask.payload)}, {}, [])
            except InferenceError as error:
                return Answers(ask.number, {}, {SUPERVISOR: str(error)}, [])
        if ask.keep is not None and not self._keep(ask.keep, ask):
            full = f"more than {_MOST_KEPT} messages are kept for workers to come"
            return Answers(ask.number, {}, {SUPERVISOR: full}, [])
        others = [each for each in self.present() if each != worker]
        try:
            replies, errors = await self.gather(others, ask.name, ask.payload, ask.limit_s)
        except TooLong as error:
            return Answers(ask.number, {}, {SUPERVISOR: f"the message is too long: {error}"}, [])
        missing = [each for each in others if each not in replies and each not in errors]
        return Answers(ask.number, replies, errors, missing)

    def _keep(self, key: str, ask: Ask) -> bool:
        """The latest under a key stands last: who comes later is told everything in the order in which it held."""
        if key not in self._kept and len(self._kept) >= _MOST_KEPT:
            return False
        self._kept.pop(key, None)
        self._kept[key] = Told(next(self._numbers), ask.name, ask.payload)
        return True

    def _answer(self, worker: int, answers: Answers) -> None:
        line = self._lines.get(worker)
        if line is None:
            return
        try:
            line.send(answers)
        except TooLong:
            line.send(Answers(answers.number, {}, {SUPERVISOR: "the answer is too long"}, []))
