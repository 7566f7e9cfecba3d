"""Which keys stand more than once, in which rows: those are told apart whose hashes are the same by chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nsmallest

import msgspec

from foretell.batch.keys.reading import MOST_ROWS
from foretell.batch.keys.scratch import KeyFiles, bounds_of

_AT_ONCE_BYTES = 2**23
MOST_LINES = 10_000


@dataclass(slots=True)
class _Key:
    """`first`: the shard and the row where it stands first. `rows`: (shard, row) of those that are named."""

    key: bytes
    first: tuple[int, int]
    count: int
    rows: list[tuple[int, int]]


def find_keys(
    files: KeyFiles, paths: Mapping[int, str], lines: int = MOST_LINES, at_once: int = _AT_ONCE_BYTES
) -> tuple[int, int]:
    """How many keys stand more than once, and in how many rows. Writes down lines for the first of them.

    `paths`: of each shard that has such keys, the file in which it stands. `lines`: how many are written at most;
    `at_once`: bytes of keys that are looked at together.
    """
    shards = sorted(paths)
    keys, rows, most = 0, 0, -(-lines // 2)
    named: list[_Key] = []
    for bounds in bounds_of(-(-files.size(shards) // at_once)):
        twice = _twice(files, shards, bounds)
        keys, rows = keys + len(twice), rows + sum(each.count for each in twice.values())
        chosen = nsmallest(most, twice.values(), key=lambda each: each.first)
        _name_rows(files, shards, bounds, {each.key: each for each in chosen})
        named = nsmallest(most, [*named, *chosen], key=lambda each: each.first)
    told = [(each, shard, row) for each in named for shard, row in each.rows][:lines]
    with files.lines.open("wb") as file:
        for each, shard, row in told:
            line = {"key": msgspec.Raw(each.key), "file": paths[shard], "row": row}
            file.write(msgspec.json.encode(line) + b"\n")
    return keys, rows


def _twice(files: KeyFiles, shards: list[int], bounds: tuple[int, int]) -> dict[bytes, _Key]:
    """The keys that stand more than once."""
    known: dict[bytes, _Key] = {}
    for shard in shards:
        for held in files.keys(shard, bounds):
            each = known.get(held.key)
            if each is None:
                known[held.key] = _Key(held.key, (shard, held.rows[0]), held.times, [])
            else:
                each.count += held.times
    return {key: each for key, each in known.items() if each.count > 1}


def _name_rows(files: KeyFiles, shards: list[int], bounds: tuple[int, int], keys: Mapping[bytes, _Key]) -> None:
    for shard in shards if keys else ():
        for held in files.keys(shard, bounds):
            if (each := keys.get(held.key)) is not None:
                each.rows += [(shard, row) for row in held.rows[: MOST_ROWS - len(each.rows)]]
