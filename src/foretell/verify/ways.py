"""In which sizes, orders and numbers of threads the rows are asked again: pure decisions, the same at every run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from foretell.columns import Index

_SIZES = (1, 2, 3, 5, 8, 13, 16, 17, 31, 32, 64, 100, 128, 256)
_SHUFFLES = ((7, 11), (16, 12), (33, 13))
"""Rows of a call, and the seed of the order."""


@dataclass(frozen=True, slots=True)
class Way:
    """`calls`: the rows of each call, one after the other."""

    name: str
    calls: tuple[Index, ...]


def ways(rows: int, *, few: bool = False) -> Iterator[Way]:
    """Every row once in each. `few`: as many as tell something where each costs much."""
    order = np.arange(rows)
    sizes = sorted({size for size in _SIZES if size < rows} | {rows})
    for size in sizes[:: max(1, len(sizes) - 1)] if few else sizes:
        yield Way(f"{size} in a call", _cut(order, size))
    if rows > 1:
        yield Way(f"backwards, {min(16, rows)} in a call", _cut(order[::-1].copy(), 16))
    for size, seed in _SHUFFLES[:1] if few else _SHUFFLES:
        if rows > size:
            yield Way(f"shuffled, {size} in a call", _cut(np.random.default_rng(seed).permutation(rows), size))


def threads_to_try(cores: int, chosen: int) -> tuple[int, ...]:
    """Beside the number that is `chosen`."""
    return tuple(sorted({1, 2, cores} - {chosen}))


def _cut(order: Index, size: int) -> tuple[Index, ...]:
    return tuple(order[at : at + size] for at in range(0, len(order), size))
