"""Which shards may hold a key twice, from what is known of each."""

from __future__ import annotations

import pytest

from foretell.batch.keys.ranges import KeyRange, suspects

UP = KeyRange(0, 9, ascend=True)


@pytest.mark.parametrize(
    ("ranges", "found"),
    [
        ([UP, KeyRange(10, 19, ascend=True)], []),
        ([KeyRange(10, 19, ascend=True), UP], []),
        ([UP, KeyRange(9, 19, ascend=True)], [0, 1]),
        ([UP, KeyRange(10, 19, ascend=False), KeyRange(20, 20, ascend=True)], [1]),
        ([KeyRange(0, 100, ascend=True), KeyRange(1, 2, ascend=True), KeyRange(50, 60, ascend=True)], [0, 1, 2]),
        ([KeyRange(0, 3, ascend=True), KeyRange(8, 9, ascend=True), KeyRange(9, 9, ascend=True)], [1, 2]),
        ([UP, None], [0, 1]),
        ([UP, KeyRange(None, None, ascend=True)], []),
        ([None, KeyRange(None, None, ascend=True)], [0]),
        ([KeyRange("a", "b", ascend=True), KeyRange("c", "d", ascend=True)], []),
        ([KeyRange("a", "b", ascend=True), UP], [0, 1]),
        ([KeyRange(None, None, ascend=True)], []),
        ([], []),
    ],
)
def test_shards_that_may_hold_a_key_twice(ranges: list[KeyRange | None], found: list[int]) -> None:
    assert suspects(dict(enumerate(ranges))) == found
