"""What is noted of the keys of a shard while it is scored."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from foretell.batch.block import Block
from foretell.batch.keys.cells import Texts
from foretell.batch.keys.order import KeyOrder, ascend
from foretell.batch.keys.ranges import KeyRange
from foretell.errors import RowError


def seen(*blocks: Any, names: tuple[str, ...] = ("id",)) -> KeyRange | None:
    order = KeyOrder(names)
    for cells in blocks:
        order.see(cells if isinstance(cells, Block) else Block({"id": cells}, len(cells), 0, 0))
    return order.range()


@pytest.mark.parametrize(
    ("blocks", "found"),
    [
        ([np.array([1, 2]), np.array([5, 8])], KeyRange(1, 8, True)),
        ([np.array([1, 5]), np.array([5, 8])], KeyRange(1, 8, False)),
        ([np.array([4, 2]), np.array([9, 1])], KeyRange(1, 9, False)),
        ([np.array([2**64 - 2, 2**64 - 1], np.uint64)], KeyRange(2**64 - 2, 2**64 - 1, True)),
        ([pa.array([1, 2, 3]).slice(1)], KeyRange(2, 3, True)),
        ([pa.array([1, None, 3]).slice(2)], KeyRange(3, 3, True)),
        ([pa.array([1, None, 3])], None),
        ([pa.array([1, 2], pa.date32()), pa.array([3], pa.date32())], KeyRange(1, 3, True)),
        ([pa.array([1, 2], pa.timestamp("us", "UTC"))], KeyRange(1, 2, True)),
        ([pa.array(["a", "b"]), pa.array(["ba", "c"], pa.large_string())], KeyRange("a", "c", True)),
        ([pa.array(["a", "b"]), pa.array(["b", "c"])], None),
        ([["a", "b"], ["c"]], KeyRange("a", "c", True)),
        ([["8", "9", "10"], ["011"]], KeyRange(8, 11, True)),
        ([["7", "007"]], KeyRange(7, 7, False)),
        ([["1", ""]], None),
        ([["1", "\u0663"]], KeyRange("1", "\u0663", True)),
        ([["1", "a"], ["2"]], None),
        ([["9" * 19]], KeyRange("9" * 19, "9" * 19, True)),
        ([pa.array(["8", "9"]), pa.array(["", "10", "10000"]).slice(1)], KeyRange(8, 10_000, True)),
        ([pa.array(["100000000000000001", "100000000000000002"])], KeyRange(10**17 + 1, 10**17 + 2, True)),
        ([pa.array(["10", "9", "x"]).slice(0, 2)], KeyRange(9, 10, False)),
        ([pa.array(["10", "9", "/"])], None),
        ([[1, 2], [0]], KeyRange(0, 2, False)),
        ([[1, 2**70]], None),
        ([[1, "a"]], None),
        ([[1], ["a"]], None),
        ([pa.array([1.5, 2.5])], None),
        ([np.ma.MaskedArray([1, 2], [False, True])], None),
        ([pa.array(["x" * 500])], None),
        ([pa.array([], pa.int64()), pa.array([], pa.string()), []], KeyRange(None, None, True)),
        ([], KeyRange(None, None, True)),
    ],
)
def test_what_is_noted(blocks: list[Any], found: KeyRange | None) -> None:
    assert seen(*blocks) == found


def test_several_columns_are_not_followed() -> None:
    assert seen(np.array([1, 2]), names=("id", "day")) is None


def test_rows_that_do_not_count_are_passed_over() -> None:
    bad = {1: RowError("invalid_input", "bad"), 3: RowError("invalid_input", "bad")}
    block = Block({"id": ["a", None, "z", "c"]}, 4, 0, 0, bad, np.array([False, False, True, False]))
    assert seen(block) == KeyRange("a", "c", True)


def test_texts_ascend_as_their_bytes_do() -> None:
    rng = random.Random(7)
    for _ in range(300):
        letters = ["a", "b", "\0", "\u00e9"]
        items = ["".join(rng.choices(letters, k=rng.choice([0, 1, 7, 8, 9, 17]))).encode() for _ in range(3)]
        items = sorted(items) if rng.random() < 0.7 else items
        assert ascend(Texts.of(items)) == (items[0] < items[1] < items[2]), items
