"""Reads the keys of a shard once more: first their hashes, then those keys whose hash stands more than once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from foretell.batch.block import Block
from foretell.batch.keys.cells import asked_keys
from foretell.batch.keys.hashing import hashes, listed
from foretell.batch.keys.scratch import Held, KeyFiles, mapped
from foretell.columns import Array
from foretell.forms.cells import Cells, take

Hashing = Callable[[Sequence[Cells]], Array]
MOST_ROWS = 100
"""Of one key that are named."""
_LONGEST, _SHOWN = 1000, 200
"""Characters of a text within a key, and how many are shown of a longer one."""


@dataclass(slots=True)
class _Counted:
    hash: int
    count: int
    rows: list[int]


def put_hashes(
    files: KeyFiles, shard: int, blocks: Iterator[Block], names: Sequence[str], hashing: Hashing = hashes
) -> None:
    """Writes down the hashes of the keys of a shard."""
    made = [np.zeros(0, np.uint64), *(hashed for hashed, *_ in _read(blocks, names, hashing))]
    files.put_hashes(shard, np.concatenate(made))


def put_keys(
    files: KeyFiles, shard: int, blocks: Iterator[Block], names: Sequence[str], hashing: Hashing = hashes
) -> None:
    """Writes down the keys of a shard whose hashes stand more than once in the job."""
    repeated, found = mapped(files.repeated, np.dtype("<u8")), dict[bytes, _Counted]()
    for hashed, columns, numbers in _read(blocks, names, hashing):
        at = np.minimum(np.searchsorted(repeated, hashed), len(repeated) - 1)
        rows = np.flatnonzero(repeated[at] == hashed)
        if not len(rows):
            continue
        values = [[_short(value) for value in listed(take(cells, rows))] for cells in columns]
        for one, row, *key in zip(hashed[rows].tolist(), numbers[rows].tolist(), *values, strict=True):
            told = msgspec.json.encode(dict(zip(names, key, strict=True)))
            known = found.get(told)
            if known is None:
                found[told] = _Counted(one, 1, [row])
                continue
            known.count += 1
            if len(known.rows) < MOST_ROWS:
                known.rows.append(row)
    files.put_keys(shard, [(each.hash, Held(key, each.count, each.rows)) for key, each in found.items()])


def _read(
    blocks: Iterator[Block], names: Sequence[str], hashing: Hashing
) -> Iterator[tuple[Array, list[Cells], Array]]:
    """The hashes, the columns and the numbers in the file of the rows whose keys count."""
    for block in blocks:
        columns, rows = asked_keys(block, names)
        if rows is not None:
            columns = [take(cells, rows) for cells in columns]
        numbers = np.arange(block.rows) if rows is None else rows
        if len(numbers):
            yield hashing(columns), columns, numbers + block.first_row


def _short(value: Any) -> Any:
    """A long text by its beginning and its digest."""
    if not isinstance(value, str) or len(value) <= _LONGEST:
        return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_short(value[:_SHOWN])}... (sha256 {digest})"
