"""Columns as the arrays that a runtime takes, one for each input, and the calls they make."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from foretell.columns import Array, Bytes, Column, Dense, Ragged
from foretell.errors import InvalidInput, RowError
from foretell.types import BatchRule, DataType, TensorSpec

Feed = Array | list[Array]
"""All rows in one array, or rows of different shape, each to be sent alone."""


def feed_of(column: Column, spec: TensorSpec, errors: dict[int, RowError], *, alone: bool, text: bool = True) -> Feed:
    """The rows of `column`, native and contiguous; strings as objects: as `str`, and rows of what is not UTF-8 go to
    `errors`; without `text` as `bytes`.

    `alone`: each row is sent in a call of its own, so rows may differ in length. Else `InvalidInput` where they do: the
    engine has filled them up, if anybody said how.
    """
    if isinstance(column, Ragged):
        return _ragged(column, spec, errors, alone=alone, text=text)
    return _plain(column, spec, errors, None, text=text)


def zeros(shape: tuple[int, ...], datatype: DataType, value: int = 0) -> Array:
    """An array to try a model with; of strings, empty ones."""
    if datatype is DataType.BYTES:
        return np.full(shape, "", object)
    if datatype is DataType.BF16:
        return np.full(shape, 0x3F80 if value else 0, np.uint16)
    return np.full(shape, value, datatype.numpy)


def pieces(feeds: Mapping[str, Feed], rows: int, batch: BatchRule) -> Iterator[tuple[dict[str, Array], int]]:
    """The arrays of each call, and how many of its rows are real."""
    if not isinstance(batch, int):
        if batch is None:
            for row in range(rows):
                yield {name: _row(feed, row) for name, feed in feeds.items()}, 1
        else:
            yield {name: feed for name, feed in feeds.items() if not isinstance(feed, list)}, rows
        return
    for start in range(0, rows, batch):
        count = min(batch, rows - start)
        piece = {name: _piece(feed, start, count, batch) for name, feed in feeds.items()}
        yield piece, count


def _row(feed: Feed, row: int) -> Array:
    return feed[row] if isinstance(feed, list) else np.asarray(feed[row, ...])


def _piece(feed: Feed, start: int, count: int, size: int) -> Array:
    """`size` rows from `start` on; the last real row is repeated where there are fewer."""
    if isinstance(feed, list):
        return feed[start][None]
    rows = feed[start : start + count]
    return rows if count == size else np.concatenate([rows, np.repeat(rows[-1:], size - count, axis=0)])


def _plain(
    column: Dense | Bytes, spec: TensorSpec, errors: dict[int, RowError], owners: Array | None, *, text: bool
) -> Array:
    """`owners`: the row that each element of `column` belongs to, where that is not the element itself."""
    if isinstance(column, Dense):  # other byte orders runtimes would misread without a word
        kind = column.data.dtype.newbyteorder("=") if spec.datatype is None else spec.datatype.numpy
        return np.ascontiguousarray(column.data, kind)
    items: list[bytes] = column.items()
    made = np.empty(len(items), object)
    made[:] = _texts(items, math.prod(column.row_shape), spec, errors, owners) if text else items
    return made.reshape((len(column), *column.row_shape))


def _texts(
    items: list[bytes], per_row: int, spec: TensorSpec, errors: dict[int, RowError], owners: Array | None
) -> list[str]:
    texts: list[str] = []
    for at, item in enumerate(items):
        try:
            texts.append(item.decode())
        except UnicodeDecodeError:
            texts.append("")
            row = at // per_row if owners is None else int(owners[at // per_row])
            message = f"input {spec.name!r}: the row holds text that is not UTF-8; expected {spec.describe()}"
            errors.setdefault(row, RowError(InvalidInput.code, message))
    return texts


def _ragged(column: Ragged, spec: TensorSpec, errors: dict[int, RowError], *, alone: bool, text: bool) -> Feed:
    lengths, rows = column.lengths, len(column)
    first, last = int(column.offsets[0]), int(column.offsets[-1])
    values = _plain(column.values.slice(first, last), spec, errors, np.repeat(np.arange(rows), lengths), text=text)
    longest = int(lengths.max(initial=0))
    if (lengths == longest).all():
        return values.reshape((rows, longest, *values.shape[1:]))
    if alone:
        return [values[a:b] for a, b in pairwise((column.offsets - first).tolist())]
    fix = f"name a value that fills them: pad {spec.name}=0"
    raise InvalidInput(
        "rows of different length cannot share a call",
        where=f"input {spec.name!r}",
        got=f"{int(lengths.min())} to {longest} values",
        fix="fill them up yourself" if values.dtype == object else fix,
    )
