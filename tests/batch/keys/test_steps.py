"""The steps of the search: hashes that stand more than once, and the keys that have them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.batch.block import Block
from foretell.batch.keys.grouping import find_keys
from foretell.batch.keys.hashing import hashes
from foretell.batch.keys.reading import MOST_ROWS, put_hashes, put_keys
from foretell.batch.keys.repeated import find_repeated, repeated
from foretell.batch.keys.scratch import KeyFiles, bounds_of
from foretell.columns import Array


def one_of_four(columns: Sequence[Any]) -> Array:
    """Nearly all keys collide."""
    return np.array([np.uint64(hash_ % 4) << np.uint64(62) for hash_ in hashes(columns).tolist()], np.uint64)


def found(
    folder: Path, shards: list[list[Any]], hashing: Any = hashes, lines: int = 10_000, at_once: int = 2**20
) -> tuple[int, int, list[tuple[Any, str, int]]]:
    """Keys, rows, and the lines that are written, of shards of one file each."""

    def blocks(shard: list[Any]) -> Iterator[Block]:
        for at in range(0, len(shard), 5):
            yield Block({"id": shard[at : at + 5]}, len(shard[at : at + 5]), 0, at)

    files, numbers = KeyFiles(str(folder)), list(range(len(shards)))
    for number in numbers:
        put_hashes(files, number, blocks(shards[number]), ["id"], hashing)
    concerned = find_repeated(files, numbers, at_once)
    for number in concerned:
        put_keys(files, number, blocks(shards[number]), ["id"], hashing)
    keys, rows = find_keys(files, {number: str(number) for number in concerned}, lines, at_once)
    told = [json.loads(line) for line in files.lines.read_text().splitlines()]
    return keys, rows, [(line["key"]["id"], line["file"], line["row"]) for line in told]


def test_keys_in_the_order_in_which_they_come_first(tmp_path: Path) -> None:
    shards = [[5, 1, 2, 9, 3, 5], [7, 2], [8, 8, 10, 5]]
    assert found(tmp_path, shards) == (3, 7, [
        (5, "0", 0), (5, "0", 5), (5, "2", 3), (2, "0", 2), (2, "1", 1), (8, "2", 0), (8, "2", 1),
    ])  # fmt: skip


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_hashes_that_are_the_same_by_chance_are_no_keys(tmp_path: Path, at_once: int) -> None:
    rng = np.random.default_rng(2)
    shards = [rng.permutation(100)[:60].tolist() for _ in range(3)]
    every = [key for shard in shards for key in shard]
    twice = {key for key in every if every.count(key) > 1}
    keys, rows, lines = found(tmp_path, shards, one_of_four, at_once=at_once)
    assert (keys, rows) == (len(twice), sum(every.count(key) for key in twice))
    assert {key for key, *_ in lines} == twice
    assert all(shards[int(shard)][row] == key for key, shard, row in lines)


def test_unique_keys_whose_hashes_collide(tmp_path: Path) -> None:
    assert found(tmp_path, [list(range(40)), list(range(40, 80))], one_of_four) == (0, 0, [])


def test_all_are_counted_and_some_are_named(tmp_path: Path) -> None:
    shards = [[*range(50), *range(50)], [0] * 500]
    keys, rows, lines = found(tmp_path, shards, lines=20)
    assert (keys, rows) == (50, 600)
    assert lines[:3] == [(0, "0", 0), (0, "0", 50), (0, "1", 0)]
    assert len(lines) == 20
    *_, lines = found(tmp_path, shards, lines=1000)
    assert [key for key, *_ in lines].count(0) == MOST_ROWS
    assert len(lines) == MOST_ROWS + 2 * 49


def test_values_that_stand_more_than_once() -> None:
    rng = np.random.default_rng(4)
    arrays = [np.sort(rng.integers(0, 300, 40).astype(np.uint64)) for _ in range(10)]
    values, counts = np.unique(np.concatenate(arrays), return_counts=True)
    for at_once in (1, 50, 10_000):
        assert repeated(arrays, at_once).tolist() == values[counts > 1].tolist()
    assert repeated([], 5).tolist() == []


def test_bounds_cover_every_hash_once() -> None:
    for parts in (0, 1, 3, 8):
        bounds = list(bounds_of(parts))
        assert len(bounds) >= parts
        assert (bounds[0][0], bounds[-1][1]) == (0, 2**64 - 1)
        assert all(left[1] + 1 == right[0] for left, right in pairwise(bounds))
