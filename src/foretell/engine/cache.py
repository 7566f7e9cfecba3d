"""Answers kept by identity and canonical input; each missing one is computed once, whoever asks meanwhile waits."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from foretell.clock import Clock
from foretell.columns import Batch, Bytes, Column, Dense, copied
from foretell.config import ModelSettings
from foretell.engine.work import params_key
from foretell.errors import InvalidSetting
from foretell.model import Context
from foretell.types import Identity, ModelSpec


class LeaderFailed(Exception):
    """Who computed a unit ended without an answer to it, for reasons of its own: who waits must compute it."""


@dataclass(slots=True)
class Plan:
    """How the units of one call are answered; by position."""

    hits: dict[int, Batch] = field(default_factory=dict)
    waits: dict[int, Future[Batch]] = field(default_factory=dict)
    owned: list[int] = field(default_factory=list)


class PredictionCache:
    """Least recently used answers, at most `max_rows` of them, none older than `ttl_s`. Safe from any thread.

    A unit is one row, or one whole call where the model is not row-wise. Failed rows are never kept.
    """

    def __init__(self, max_rows: int, ttl_s: float | None, clock: Clock) -> None:
        self._max_rows = max_rows
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[Batch, float]] = OrderedDict()
        self._rows = 0
        self._flying: dict[bytes, Future[Batch]] = {}

    def __len__(self) -> int:
        """Rows kept."""
        return self._rows

    def begin(self, keys: Sequence[bytes]) -> Plan:
        """Sorts units into hits, waits (somebody computes them now) and owned (the caller must, and then `finish`)."""
        plan, now = Plan(), self._clock.monotonic()
        with self._lock:
            for position, key in enumerate(keys):
                kept = self._kept.get(key)
                if kept is not None and (self._ttl_s is None or now - kept[1] < self._ttl_s):
                    self._kept.move_to_end(key)
                    plan.hits[position] = kept[0]
                elif key in self._flying:
                    plan.waits[position] = self._flying[key]
                else:
                    self._flying[key] = Future()
                    plan.owned.append(position)
        return plan

    def finish(self, answers: Mapping[bytes, Batch | Exception]) -> None:
        """Ends owned units: keeps the answers without errors, wakes who waits."""
        now, ended = self._clock.monotonic(), []
        with self._lock:
            for key, answer in answers.items():
                ended.append((self._flying.pop(key), answer))
                if isinstance(answer, Batch) and not answer.errors and answer.rows <= self._max_rows:
                    self._keep(key, answer, now)
        for future, answer in ended:
            if isinstance(answer, Batch):
                future.set_result(answer)
            else:
                future.set_exception(answer)

    def _keep(self, key: bytes, answer: Batch, now: float) -> None:
        stale = self._kept.pop(key, None)
        self._rows += answer.rows - (stale[0].rows if stale else 0)
        self._kept[key] = (answer, now)
        while self._rows > self._max_rows:
            _, (oldest, _) = self._kept.popitem(last=False)
            self._rows -= oldest.rows


def make_cache(settings: ModelSettings, spec: ModelSpec, clock: Clock, where: str) -> PredictionCache:
    """The cache that the settings ask for. Raises `InvalidSetting` for a model whose answers cannot be kept."""
    if spec.stateful or not spec.deterministic:
        kind = "stateful" if spec.stateful else "not deterministic"
        raise InvalidSetting(f"cache_size is set, but the model is {kind}", where=where, fix="leave it out")
    return PredictionCache(settings.cache_size, settings.cache_ttl_s, clock)


def units(batch: Batch, spec: ModelSpec) -> list[Batch]:
    """The pieces of a call that are kept on their own."""
    if not spec.row_wise:
        return [batch]
    return [batch.slice(row, row + 1) for row in range(batch.rows)]


def keys(pieces: Sequence[Batch], identity: Identity, ctx: Context) -> list[bytes]:
    """One key for each piece. Covers identity, parameters and input; all outputs are kept, so no request narrows it."""
    prefix = hashlib.blake2b(f"{identity.key}\x1e{ctx.device}\x1e{params_key(ctx.params)!r}".encode())
    return [_digest(prefix.copy(), piece) for piece in pieces]


def split_answer(answer: Batch, pieces: Sequence[Batch]) -> list[Batch]:
    """The answer of each piece of a call. Rows are copied, so that one kept row does not hold its whole batch."""
    parts, at = [], 0
    for piece in pieces:
        parts.append(copied(answer.slice(at, at + piece.rows)))
        at += piece.rows
    return parts


def _digest(digest: hashlib.blake2b, piece: Batch) -> bytes:
    for name, column in sorted(piece.columns.items()):
        digest.update(f"\x1d{name}\x1d".encode())
        _feed(digest.update, column)
    return digest.digest()


def _feed(update: Callable[[bytes], None], column: Column) -> None:
    if isinstance(column, Dense):
        update(f"{column.data.dtype.str}{column.data.shape}".encode())
        update(column.data.tobytes())
    elif isinstance(column, Bytes):
        compact = column.compact()
        update(f"bytes{compact.row_shape}{len(compact.offsets)}".encode())
        update(compact.offsets.tobytes())
        update(compact.data.tobytes())
    else:
        update(f"ragged{len(column.offsets)}".encode())
        update(column.offsets.tobytes())
        _feed(update, column.values)
    if column.valid is not None:
        update(column.valid.tobytes())
