"""The cache in front of the model: for a caller that waits, and for requests of the batcher."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np

from foretell.columns import Batch
from foretell.engine.cache import Answer, Plan, PredictionCache, is_leaders_own, keys, split_answer, units
from foretell.engine.replica import join_answers
from foretell.engine.work import Completed, Work, assemble
from foretell.errors import InferenceError, InvalidInput, RowError
from foretell.model import Context
from foretell.types import Identity, ModelSpec


class Lookup:
    """One call against the cache: what is known, what is being computed, what this call must compute."""

    def __init__(self, cache: PredictionCache, batch: Batch, spec: ModelSpec, identity: Identity, ctx: Context) -> None:
        self._cache = cache
        self._pieces = units(batch, spec)
        self._keys = keys(self._pieces, identity, ctx)
        self._plan: Plan = cache.begin(self._keys)
        self._answers: list[Answer | None] = [self._plan.hits.get(at) for at in range(len(self._pieces))]
        rows = [piece.rows for piece in self._pieces]
        self.hits = sum(rows[at] for at in self._plan.hits)
        self.misses = batch.rows - self.hits
        whole = len(self._plan.owned) == len(self._pieces)
        owned = np.array(self._plan.owned, np.int64)
        self.missing: Batch | None = None if not self._plan.owned else batch if whole else batch.take(owned)

    @property
    def waits(self) -> dict[int, Future[Answer]]:
        return self._plan.waits

    def piece(self, at: int) -> Batch:
        return self._pieces[at]

    def computed(self, answer: Batch) -> None:
        """The answer of `missing`."""
        parts = split_answer(answer, [self._pieces[at] for at in self._plan.owned])
        for at, part in zip(self._plan.owned, parts, strict=True):
            self._answers[at] = part
        self._cache.finish({self._keys[at]: part for at, part in zip(self._plan.owned, parts, strict=True)})

    def failed(self, error: InferenceError) -> None:
        self._cache.finish({self._keys[at]: error for at in self._plan.owned})

    def arrived(self, at: int, answer: Answer) -> None:
        self._answers[at] = answer

    def answer(self) -> Batch:
        """The whole answer, once every unit has one."""
        parts = []
        for piece, answer in zip(self._pieces, self._answers, strict=True):
            if isinstance(answer, RowError):
                parts.append(Batch({}, piece.rows, dict.fromkeys(range(piece.rows), answer)))
            elif answer is not None:
                parts.append(answer)
        return join_answers(parts) if parts else Batch({}, 0)


def run_cached(lookup: Lookup, run: Callable[[Batch], Batch]) -> Batch:
    """Answers a caller that waits."""
    if lookup.missing is not None:
        try:
            lookup.computed(run(lookup.missing))
        except BaseException as error:
            lookup.failed(error if isinstance(error, InferenceError) else InferenceError("the call was interrupted"))
            raise
    for at, future in lookup.waits.items():
        try:
            lookup.arrived(at, future.result())
        except InferenceError as error:
            if not is_leaders_own(error):
                raise
            alone = run(lookup.piece(at))
            lookup.arrived(at, split_answer(alone, [lookup.piece(at)])[0])
    return lookup.answer()


class CachedWork(Work):
    """The rows of `original` that the cache lacks, on their way through the batcher."""

    __slots__ = ("_lookup", "_original", "_remaining", "_submit", "_threadsafe")

    def __init__(
        self,
        original: Work,
        lookup: Lookup,
        submit: Callable[[Work], None],
        threadsafe: Callable[..., Any],
    ) -> None:
        missing = lookup.missing
        super().__init__(
            list(missing.columns.values()) if missing else [],
            missing.rows if missing else 0,
            original.group,
            original.deadline,
        )
        self._original, self._lookup, self._submit, self._threadsafe = original, lookup, submit, threadsafe
        self._remaining = len(lookup.waits) + (1 if missing is not None else 0)

    def start(self) -> None:
        if not self._remaining:
            self._finish()
            return
        for at, future in self._lookup.waits.items():
            future.add_done_callback(partial(self._threadsafe, self._arrived, at))
        if self._lookup.missing is not None:
            self._original.child = self
            self._submit(self)

    def done(self, completed: Completed, start: int) -> None:
        self._lookup.computed(completed.batch.slice(start, start + self.rows))
        self._step()

    def fail(self, error: InferenceError) -> None:
        self._lookup.failed(error)
        self._end(error)

    def _arrived(self, at: int, future: Future[Answer]) -> None:
        error = future.exception()
        if error is None:
            self._lookup.arrived(at, future.result())
            self._step()
        elif is_leaders_own(error) and not self._original.cancelled:
            self._submit(_Alone(self, at, self._lookup.piece(at)))
        else:
            self._end(error if isinstance(error, InferenceError) else InferenceError(str(error)))

    def _alone(self, at: int, answer: Batch) -> None:
        self._lookup.arrived(at, split_answer(answer, [self._lookup.piece(at)])[0])
        self._step()

    def _step(self) -> None:
        self._remaining -= 1
        if not self._remaining:
            self._finish()

    def _finish(self) -> None:
        if not self._original.ended:
            self._original.ended = True
            self._original.done(Completed(self._lookup.answer()), 0)

    def _end(self, error: InferenceError) -> None:
        if not self._original.ended:
            self._original.ended = True
            self._original.fail(error)


class _Alone(Work):
    """One unit whose first caller gave up, computed by who still waits for it."""

    __slots__ = ("_at", "_owner")

    def __init__(self, owner: CachedWork, at: int, piece: Batch) -> None:
        super().__init__(list(piece.columns.values()), piece.rows, owner.group, owner.deadline)
        self._owner, self._at = owner, at

    def done(self, completed: Completed, start: int) -> None:
        self._owner._alone(self._at, completed.batch.slice(start, start + self.rows))

    def fail(self, error: InferenceError) -> None:
        self._owner._end(error)


def lookup_work(cache: PredictionCache, work: Work, spec: ModelSpec, identity: Identity) -> Lookup:
    """Raises `InvalidInput` where the request's values do not fit."""
    try:
        batch = assemble([work])
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    return Lookup(cache, batch, spec, identity, work.group.context)
