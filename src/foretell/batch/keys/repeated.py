"""Which hashes stand more than once, in bounded memory: a range of them at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from foretell.batch.keys.scratch import KeyFiles, bounds_of
from foretell.columns import Array

_AT_ONCE = 2**20
_MOST = 2**21
"""Hashes of one range, about."""


def find_repeated(files: KeyFiles, shards: list[int], most: int = _MOST) -> list[int]:
    """Writes down, in order, the hashes that stand more than once. Gives the shards that have one of them."""
    found: set[int] = set()
    with files.repeated.open("wb") as file:
        for bounds in bounds_of(-(-files.count(shards) // most)):
            twice = repeated((files.hashes(shard, bounds) for shard in shards), min(most, _AT_ONCE))
            if len(twice):
                file.write(twice.astype("<u8").tobytes())
                found |= {shard for shard in shards if shard not in found and _any(files.hashes(shard, bounds), twice)}
    return sorted(found)


def repeated(arrays: Iterable[Array], at_once: int) -> Array:
    """The values that stand more than once in all arrays together, in order. Each array is in order, too.

    Holds the different values, those that are repeated, and about `at_once` more.
    """
    seen = twice = np.zeros(0, np.uint64)
    for held in _gathered(arrays, at_once):
        # They are in order already, in pieces: merging these is all that a stable sort has to do.
        merged = np.sort(np.concatenate([seen, held]), kind="stable")
        again = merged[1:][merged[1:] == merged[:-1]]
        twice = _distinct(np.sort(np.concatenate([twice, again]), kind="stable"))
        seen = _distinct(merged)
    return twice


def _distinct(ordered: Array) -> Array:
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def _gathered(arrays: Iterable[Array], at_once: int) -> Iterator[Array]:
    held: list[Array] = []
    for array in arrays:
        held.append(array)
        if sum(map(len, held)) >= at_once:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _any(ordered: Array, values: Array) -> bool:
    """Whether one of the `values` is there."""
    at = np.searchsorted(ordered, values)
    return bool(len(ordered) and (ordered[np.minimum(at, len(ordered) - 1)] == values).any())
