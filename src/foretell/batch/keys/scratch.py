"""What processes leave for each other while they look for keys that stand twice: files of one folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foretell.columns import Array

_ROW = np.dtype([("hash", "<u8"), ("row", "<i8"), ("end", "<i8"), ("count", "<i8")])
"""`end`: of its key in the file of the keys. `count`: of all rows of its key; 0: its key is that of the row before."""
_BITS = 64


class Held(NamedTuple):
    """A key of one shard: in how many rows it stands, and the numbers of the first of them in their file."""

    key: bytes
    times: int
    rows: Sequence[int]


class KeyFiles:
    """Of each shard its hashes, in order, then those keys whose hashes stand more than once; and what was found."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self.repeated, self.lines = self._folder / "repeated", self._folder / "lines"

    def put_hashes(self, shard: int, hashes: Array) -> None:
        np.sort(hashes).astype("<u8").tofile(self._path(shard, "hashes"))

    def hashes(self, shard: int, bounds: tuple[int, int]) -> Array:
        """Those within bounds, in order."""
        every = mapped(self._path(shard, "hashes"), np.dtype("<u8"))
        return every[_between(every, bounds)]

    def count(self, shards: list[int]) -> int:
        """Of the hashes of all these."""
        return sum(self._path(shard, "hashes").stat().st_size for shard in shards) // 8

    def put_keys(self, shard: int, keys: list[tuple[int, Held]]) -> None:
        """With their hashes."""
        keys = sorted(keys, key=lambda each: each[0])
        named = np.array([len(held.rows) for _, held in keys], np.int64)
        rows = np.zeros(named.sum(), _ROW)
        rows["hash"] = np.repeat(np.array([hashed for hashed, _ in keys], np.uint64), named)
        rows["row"] = [row for _, held in keys for row in held.rows]
        rows["end"] = np.repeat(np.cumsum([len(held.key) for _, held in keys]), named)
        rows["count"][np.cumsum(named) - named] = [held.times for _, held in keys]
        rows.tofile(self._path(shard, "rows"))
        self._path(shard, "keys").write_bytes(b"".join(held.key for _, held in keys))

    def keys(self, shard: int, bounds: tuple[int, int]) -> Iterator[Held]:
        """Those whose hashes are within bounds."""
        every = mapped(self._path(shard, "rows"), _ROW)
        found = _between(every["hash"], bounds)
        start = int(every["end"][found.start - 1]) if found.start else 0
        if found.start == found.stop:
            return
        with self._path(shard, "keys").open("rb") as file:
            file.seek(start)
            content = file.read(int(every["end"][found.stop - 1]) - start)
        within, rows = every[found], every["row"][found].tolist()
        firsts = np.flatnonzero(within["count"])
        ends, counts = (within["end"][firsts] - start).tolist(), within["count"][firsts].tolist()
        befores, begins = [0, *ends], firsts.tolist()
        stops = [*begins[1:], len(rows)]
        for before, end, count, begin, stop in zip(befores, ends, counts, begins, stops, strict=False):
            yield Held(content[before:end], count, rows[begin:stop])

    def size(self, shards: list[int]) -> int:
        """Bytes of the keys of all these."""
        return sum(self._path(shard, kind).stat().st_size for shard in shards for kind in ("keys", "rows"))

    def _path(self, shard: int, kind: str) -> Path:
        return self._folder / f"{shard:06}.{kind}"


def mapped(path: Path, dtype: np.dtype) -> Array:
    """The content of a file, which is read where it is looked at."""
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)


def bounds_of(parts: int) -> Iterator[tuple[int, int]]:
    """All hashes in at least so many equal ranges, from the first that is in each to the last."""
    bits = max(0, parts - 1).bit_length()
    width = 1 << (_BITS - bits)
    return ((at * width, (at + 1) * width - 1) for at in range(1 << bits))


def _between(ordered: Array, bounds: tuple[int, int]) -> slice:
    first, last = (np.uint64(each) for each in bounds)
    return slice(int(np.searchsorted(ordered, first)), int(np.searchsorted(ordered, last, "right")))
