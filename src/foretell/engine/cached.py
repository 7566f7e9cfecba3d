"""The cache in front of the model: one call's way through it, and a caller that waits for it."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from foretell.clock import Clock
from foretell.columns import Batch, copied
from foretell.engine.answers import join_answers
from foretell.engine.awaited import running_loop
from foretell.engine.cache import LeaderFailed, Plan, PredictionCache, keys, split_answer, units
from foretell.errors import Cancelled, DeadlineExceeded, InferenceError, ModelError, Overloaded
from foretell.model import Context
from foretell.types import Identity, ModelSpec

_CALLERS_OWN = (Cancelled, DeadlineExceeded, Overloaded)


class Lookup:
    """One call against the cache: what is known, what is being computed, what this call must compute."""

    def __init__(self, cache: PredictionCache, batch: Batch, spec: ModelSpec, identity: Identity, ctx: Context) -> None:
        self._cache = cache
        self._pieces = units(batch, spec)
        self._keys = keys(self._pieces, identity, ctx)
        self._plan: Plan = cache.begin(self._keys)
        self._open = True
        self._answers: list[Batch | None] = [self._plan.hits.get(at) for at in range(len(self._pieces))]
        rows = [piece.rows for piece in self._pieces]
        self.hits = sum(rows[at] for at in self._plan.hits)
        self.misses = batch.rows - self.hits
        whole = len(self._plan.owned) == len(self._pieces)
        owned = np.array(self._plan.owned, np.int64)
        self.missing: Batch | None = None if not self._plan.owned else batch if whole else batch.take(owned)

    @property
    def waits(self) -> dict[int, Future[Batch]]:
        return self._plan.waits

    def piece(self, at: int) -> Batch:
        return self._pieces[at]

    def computed(self, answer: Batch) -> None:
        """The answer of `missing`. Where it is none, this raises, and `failed` must follow."""
        parts = split_answer(answer, [self._pieces[at] for at in self._plan.owned])
        for at, part in zip(self._plan.owned, parts, strict=True):
            self._answers[at] = part
        self._end({self._keys[at]: part for at, part in zip(self._plan.owned, parts, strict=True)})

    def failed(self, error: BaseException) -> None:
        """`missing` has no answer. Who waits for one of its units hears why only if that tells of this very unit."""
        failure: Exception = LeaderFailed()
        if isinstance(error, InferenceError) and len(self._plan.owned) == 1 and not isinstance(error, _CALLERS_OWN):
            failure = error
        self._end({self._keys[at]: failure for at in self._plan.owned})

    def arrived(self, at: int, answer: Batch) -> None:
        self._answers[at] = answer

    def alone(self, at: int, answer: Batch) -> None:
        """The answer of a call for one unit that somebody else should have computed."""
        self._answers[at] = split_answer(answer, [self._pieces[at]])[0]

    def _end(self, answers: dict[bytes, Batch | Exception]) -> None:
        if self._open:
            self._open = False
            self._cache.finish(answers)

    def answer(self) -> Batch:
        """The whole answer, once every unit has one. It shares no memory with what is kept."""
        parts = [answer for answer in self._answers if answer is not None]
        if len(parts) == 1:
            return copied(parts[0])
        try:
            return join_answers(parts) if parts else Batch({}, 0)
        except (ValueError, TypeError) as error:
            raise ModelError(f"answers of different calls do not go together: {error}") from error


def run_cached(lookup: Lookup, run: Callable[[Batch], Batch], clock: Clock, deadline: float | None) -> Batch:
    """Answers a caller that waits."""
    if lookup.missing is not None:
        try:
            lookup.computed(run(lookup.missing))
        except BaseException as error:
            lookup.failed(error)
            raise
    for at, future in lookup.waits.items():
        try:
            lookup.arrived(at, _awaited(future, clock, deadline))
        except LeaderFailed:
            lookup.alone(at, run(lookup.piece(at)))
    return lookup.answer()


def _awaited(future: Future[Batch], clock: Clock, deadline: float | None) -> Batch:
    if not future.done() and running_loop() is not None:
        # Whom it waits for may need this very loop to come to an end.
        raise LeaderFailed
    try:
        return future.result(None if deadline is None else max(0.0, deadline - clock.monotonic()))
    except concurrent.futures.TimeoutError:
        raise DeadlineExceeded("the time limit passed while another call computed the same row") from None
