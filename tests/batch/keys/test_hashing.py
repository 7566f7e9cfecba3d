"""The same key has the same hash, however its cells lie in memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from foretell.batch.keys.hashing import hashes

TEXTS = ["", "a", "\u00fcber", "12345678", "123456789", "x" * 100, None]
NUMBERS = [0, 1, -1, 2**40, None]


@pytest.mark.parametrize(
    "same",
    [
        [TEXTS, pa.array(TEXTS), pa.array(TEXTS, pa.large_string()), pa.array(TEXTS).dictionary_encode(),
         pa.chunked_array([["no"], TEXTS]).slice(1), pa.array(["no", *TEXTS]).slice(1),
         pa.array(TEXTS, pa.string_view())],
        [NUMBERS, pa.array(NUMBERS), pa.array([9, *NUMBERS]).slice(1), pa.array(NUMBERS).dictionary_encode(),
         np.ma.MaskedArray([0, 1, -1, 2**40, 7], [0, 0, 0, 0, 1])],
        [[1, 2], np.array([1, 2], np.uint8), pa.array([1, 2], pa.uint64()), pa.array([1, 2], pa.int8())],
        [[1.5, None], np.array([1.5, np.nan]), pa.array([1.5, None])],
        [[True, False], np.array([True, False]), pa.array([True, False])],
    ],
)  # fmt: skip
def test_one_key_has_one_hash(same: list[Any]) -> None:
    first, *others = (hashes([cells]).tolist() for cells in same)
    assert len(set(first)) == len(first)
    for other in others:
        assert other == first


def test_all_columns_count_in_their_order() -> None:
    one, other = [1, 2], ["a", "b"]
    assert not set(hashes([one, other]).tolist()) & set(hashes([other, one]).tolist())
    assert len(set(hashes([[1, 1, 2], ["a", "b", "a"]]).tolist())) == 3


def test_many_keys_have_as_many_hashes() -> None:
    numbers = np.arange(200_000)
    texts = pa.array([str(number) for number in numbers])
    for cells in (numbers, texts, numbers * 2**32):
        assert len(np.unique(hashes([cells]))) == 200_000


def test_another_process_has_the_same_hashes() -> None:
    code = "from foretell.batch.keys.hashing import hashes; print(hashes([['a', 'b'], [1, None]]).tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(hashes([["a", "b"], [1, None]]).tolist())
