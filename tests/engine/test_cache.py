"""What the cache keeps, for how long, and under which key."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from foretell.clock import ManualClock
from foretell.columns import Batch, Bytes, Column, Dense, Ragged, copied
from foretell.engine.cache import LeaderFailed, PredictionCache, keys, split_answer, units
from foretell.engine.work import Groups
from foretell.errors import ModelError, RowError
from foretell.model import Context
from foretell.types import Identity, ModelSpec

WHO = Identity("m", "1", "sha256:a", "sha256:v")


def answer(value: float, rows: int = 1) -> Batch:
    return Batch.of(y=np.full(rows, value))


def cache(most: int = 3, ttl_s: float | None = None, clock: ManualClock | None = None) -> PredictionCache:
    return PredictionCache(most, ttl_s, clock or ManualClock())


def put(kept: PredictionCache, key: bytes, made: Batch | Exception) -> None:
    assert kept.begin([key]).owned == [0]
    kept.finish({key: made})


def hit(kept: PredictionCache, key: bytes) -> float | None:
    plan = kept.begin([key])
    if plan.owned:
        kept.finish({key: LeaderFailed()})
        return None
    return float(plan.hits[0].dense("y")[0])


@given(asked=st.lists(st.integers(0, 8), max_size=60), most=st.integers(1, 5))
def test_it_keeps_what_was_asked_for_last(asked: list[int], most: int) -> None:
    kept, model = cache(most), OrderedDict[int, None]()
    for number in asked:
        key = bytes([number])
        if number in model:
            model.move_to_end(number)
            assert hit(kept, key) == number
        else:
            assert hit(kept, key) is None
            put(kept, key, answer(number))
            model[number] = None
            if len(model) > most:
                model.popitem(last=False)
        assert len(kept) == len(model)


def test_it_counts_rows_and_refuses_what_alone_is_too_large() -> None:
    kept = cache(4)
    put(kept, b"a", answer(1, rows=2))
    put(kept, b"b", answer(2, rows=2))
    assert len(kept) == 4
    put(kept, b"large", answer(3, rows=5))
    assert (hit(kept, b"a"), hit(kept, b"b"), hit(kept, b"large")) == (1, 2, None)
    put(kept, b"c", answer(4, rows=1))
    assert (hit(kept, b"a"), hit(kept, b"b"), len(kept)) == (None, 2, 3)


def test_an_answer_ends_with_its_time_and_begins_anew() -> None:
    clock = ManualClock()
    kept = cache(ttl_s=10.0, clock=clock)
    put(kept, b"a", answer(1))
    clock.advance(9.999)
    assert hit(kept, b"a") == 1
    clock.advance(0.001)
    assert hit(kept, b"a") is None
    put(kept, b"a", answer(2))
    clock.advance(9.0)
    assert hit(kept, b"a") == 2
    assert len(kept) == 1


@pytest.mark.parametrize("made", [Batch.of(y=np.ones(1)).with_errors({0: RowError("x", "bad")}), ModelError("no")])
def test_failures_are_not_kept(made: Batch | Exception) -> None:
    kept = cache()
    put(kept, b"a", made)
    assert len(kept) == 0
    assert kept.begin([b"a"]).owned == [0]


def test_equal_units_are_computed_once_and_who_waits_hears_of_it() -> None:
    kept = cache()
    leader, follower = kept.begin([b"a", b"a", b"b"]), kept.begin([b"b", b"c"])
    assert (leader.owned, list(leader.waits)) == ([0, 2], [1])
    assert (follower.owned, list(follower.waits)) == ([1], [0])
    assert not follower.waits[0].done()
    kept.finish({b"a": answer(1), b"b": ModelError("no")})
    assert leader.waits[1].result().dense("y")[0] == 1
    assert isinstance(follower.waits[0].exception(), ModelError)
    assert kept.begin([b"b"]).owned == [0]


def key(
    *, identity: Identity = WHO, device: str = "cpu", params: dict[str, object] | None = None, **x: object
) -> bytes:
    columns: dict[str, Column] = {
        n: v if isinstance(v, (Bytes, Ragged)) else Dense(np.asarray(v)) for n, v in x.items()
    }
    rows = len(next(iter(columns.values())))
    return keys([Batch(columns, rows)], identity, Context(params=params or {}, device=device))[0]


def test_parameters_that_are_long_arrays_count_whole() -> None:
    one, array = np.ones((1, 2)), np.zeros(5000)
    other = array.copy()
    other[2500] = 1
    assert repr(array) == repr(other)
    assert key(x=one, params={"a": array}) == key(x=one, params={"a": array.copy()})
    assert key(x=one, params={"a": array}) != key(x=one, params={"a": other})
    assert key(x=one, params={"a": array}) != key(x=one, params={"a": array.astype(np.float32)})
    groups = Groups()
    same = groups.get((), {"a": array}, Context(), True)
    assert groups.get((), {"a": array.copy()}, Context(), True) is same
    assert groups.get((), {"a": other}, Context(), True) is not same


def test_equal_calls_have_equal_keys() -> None:
    one, wide = np.arange(6.0).reshape(2, 3), np.zeros((2, 9))
    wide[:, ::3] = one
    assert key(x=one) == key(x=np.asfortranarray(one)) == key(x=wide[:, ::3])
    assert key(x=one, params={"a": 1, "b": 2}) == key(x=one, params={"b": 2, "a": 1})
    words = Bytes.of(["spam", "egg", "ham"])
    assert key(x=words.slice(1, 2)) == key(x=Bytes.of(["egg"]))


def test_everything_that_may_change_an_answer_changes_the_key() -> None:
    x = np.ones((1, 2))
    ragged = Ragged(Dense(np.arange(3.0)), np.array([0, 1, 3]))
    different = [
        key(x=x),
        key(z=x),
        key(x=x, z=x),
        key(x=x.astype(np.float32)),
        key(x=x.astype(np.int64)),
        key(x=x.view(np.int64)),
        key(x=x.reshape(1, 2, 1)),
        key(x=x + 1e-12),
        key(x=x, params={"top": 1}),
        key(x=x, params={"top": True}),
        key(x=x, params={"top": "1"}),
        key(x=x, device="cuda"),
        key(x=x, identity=Identity("other", "1", "sha256:a", "sha256:v")),
        key(x=x, identity=Identity("m", "2", "sha256:a", "sha256:v")),
        key(x=x, identity=Identity("m", "1", "sha256:b", "sha256:v")),
        key(x=x, identity=Identity("m", "1", "sha256:a", "sha256:w")),
        key(x=Bytes.of(["ab", "c"])),
        key(x=Bytes.of(["a", "bc"])),
        key(x=Bytes.of(["", None])),
        key(x=Bytes.of(["", ""])),
        key(x=ragged),
        key(x=Ragged(ragged.values, np.array([0, 2, 3]))),
    ]
    assert len(set(different)) == len(different)


def test_a_row_is_a_unit_unless_rows_depend_on_each_other() -> None:
    batch = Batch.of(x=np.arange(3))
    assert [unit.rows for unit in units(batch, ModelSpec())] == [1, 1, 1]
    assert units(batch, ModelSpec(row_wise=False)) == [batch]


@given(npst.arrays(np.float64, (5, 3)), st.data())
def test_answers_are_cut_to_their_units_with_their_errors(array: np.ndarray, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(0, 4)))
    whole = Batch.of(y=array).with_errors({row: RowError("c", str(row)) for row in bad})
    parts = split_answer(whole, [Batch({}, 2), Batch({}, 1), Batch({}, 2)])
    assert [part.rows for part in parts] == [2, 1, 2]
    np.testing.assert_array_equal(np.concatenate([part.dense("y") for part in parts]), array)
    found = {start + row for start, part in zip([0, 2, 3], parts, strict=True) for row in part.errors}
    assert found == bad


@pytest.mark.parametrize(
    "column",
    [
        Dense(np.arange(40.0), np.ones(40, np.bool_)),
        Bytes.of([str(n) for n in range(39)] + [None]),
        Ragged(Dense(np.arange(80.0)), np.arange(0, 81, 2)),
        Ragged(Bytes.of([str(n) for n in range(80)]), np.arange(0, 81, 2)),
    ],
)
def test_a_kept_row_holds_no_memory_but_its_own(column: Column) -> None:
    def arrays(of: Column) -> list[np.ndarray]:
        inner = [*arrays(of.values), of.offsets] if isinstance(of, Ragged) else [of.data]
        inner += [of.offsets] if isinstance(of, Bytes) else []
        return inner + ([of.valid] if of.valid is not None else [])

    row = copied(Batch({"c": column.slice(3, 4)}, 1)).columns["c"]
    assert len(row) == 1
    for kept in arrays(row):
        assert kept.base is None
        assert not any(np.shares_memory(kept, theirs) for theirs in arrays(column) if theirs.size and kept.size)
