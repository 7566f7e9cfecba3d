"""Which rows are asked for, in every library that rows come in."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.batch.block import Block
from foretell.batch.conditions import parse
from foretell.batch.inputs import find_inputs
from foretell.batch.job import Condition, Data
from foretell.batch.library import score
from foretell.batch.shards import ShardSize
from foretell.batch.sources.registry import open_source
from foretell.batch.sources.source import Field
from foretell.batch.where import asked_for, checked, holds
from foretell.errors import InvalidInput, InvalidSetting, RowError

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("age >= 18", Condition("age", ">=", "18")),
        ("age<18", Condition("age", "<", "18")),
        ("a b = c d", Condition("a b", "=", "c d")),
        ("a != x=y", Condition("a", "!=", "x=y")),
        ("kind in a, b ,c", Condition("kind", "in", ("a", "b", "c"))),
        ("main=1", Condition("main", "=", "1")),
        ("index = in", Condition("index", "=", "in")),
    ],
)
def test_a_condition_is_a_column_an_operator_and_a_value(text: str, condition: Condition) -> None:
    assert parse(text) == condition


@pytest.mark.parametrize("text", ["", "age", "age >=", ">= 18", "age 18", "age ~ 18"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="--where does not hold a condition; expected COLUMN OP VALUE"):
        parse(text)


FIELDS = [
    Field("n", "number", "int64"), Field("t", "text", "string"), Field("v", "other", "list<double>"),
    Field("w", "text", "text", True), Field("j", "other", "flag", True), Field("b", "bool", "bool"),
    Field("d", "time", "date32[day]"), Field("z", "time", "timestamp[us, tz=UTC]"),
]  # fmt: skip


def test_values_take_the_kind_of_their_column() -> None:
    asked = [Condition("n", "<", "5"), Condition("n", "in", ("1", "2.5")), Condition("t", "=", "5"),
             Condition("b", "in", ("True", "false")), Condition("w", "=", "TRUE"), Condition("w", "!=", "maybe"),
             Condition("w", "<", "true"), Condition("j", "=", "true"), Condition("d", ">", "2026-01-31"),
             Condition("z", "=", "2026-01-31T12:00+01:00")]  # fmt: skip
    values = [each.value for each in checked(asked, FIELDS, "data")]
    assert values == [
        5,
        (1, 2.5),
        "5",
        (True, False),
        True,
        "maybe",
        "true",
        True,
        "2026-01-31T00:00:00+00:00",
        "2026-01-31T12:00:00+01:00",
    ]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (Condition("m", "=", "1"), "data: there is no column 'm' for --where"),
        (Condition("n", "=", "x"), "--where compares column 'n' with no number; expected a number, got 'x'"),
        (Condition("n", "in", ("1", "1_0")), "compares column 'n' with no number"),
        (Condition("n", "=", "nan"), "compares column 'n' with no number"),
        (Condition("v", "=", "1"), "column 'v' cannot be compared; .*got list<double>"),
        (Condition("b", "=", "1"), "compares column 'b' with neither true nor false; got '1'"),
        (Condition("j", "=", "1"), "compares column 'j' with neither true nor false; got '1'"),
        (Condition("j", "<", "true"), "column 'j' is true or false; expected one of =, !=, in, got <"),
        (Condition("b", "<", "true"), "column 'b' is true or false; expected one of =, !=, in, got <"),
        (
            Condition("d", "=", "31.1.2026"),
            "column 'd' with no date or time; expected one in ISO 8601, ",
        ),
        (Condition("d", "=", "2026-01-31T00:00Z"), "column 'd', whose times are of no zone, with one that is"),
    ],
)
def test_a_condition_that_cannot_hold_is_refused(condition: Condition, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        checked([condition], FIELDS, "data")


NUMBERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda cells: cells,
    "text": lambda cells: [None if cell is None else str(cell) for cell in cells],
    "arrow": lambda cells: pa.array(cells, pa.float64()),
    "arrow chunks": lambda cells: pa.chunked_array([cells[:2], cells[2:]], pa.float64()),
    "arrow text": lambda cells: pa.array([None if cell is None else str(cell) for cell in cells], pa.string()),
    "numpy": lambda cells: np.array(cells, np.float64),
    "numpy masked": lambda cells: np.ma.MaskedArray([cell or 0 for cell in cells], [cell is None for cell in cells]),
    "arrow dictionary": lambda cells: pa.array(cells, pa.float64()).dictionary_encode(),
}  # fmt: skip


SMALL = st.lists(st.integers(-3, 3) | st.none(), min_size=1, max_size=8)
WORDS = st.lists(st.sampled_from(["a", "b", "é", ""]) | st.none(), min_size=1, max_size=8)


@pytest.mark.parametrize("form", NUMBERS)
@given(
    st.lists(st.integers(-3, 3) | st.none(), min_size=1, max_size=8), st.sampled_from([*OPERATORS]), st.integers(-3, 3)
)
def test_numbers_are_compared_alike_in_every_form(form: str, cells: list[int | None], op: str, value: int) -> None:
    wanted = [cell is not None and OPERATORS[op](cell, value) for cell in cells]
    assert holds(NUMBERS[form](cells), Condition("n", op, value)).tolist() == wanted
    several = [cell in (value, 2) for cell in cells]
    assert holds(NUMBERS[form](cells), Condition("n", "in", (value, 2))).tolist() == several


@given(
    st.lists(st.sampled_from(["a", "b", "é", ""]) | st.none(), min_size=1, max_size=8), st.sampled_from([*OPERATORS])
)
def test_text_is_compared_alike_in_every_form(cells: list[str | None], op: str) -> None:
    wanted = [cell is not None and OPERATORS[op](cell, "b") for cell in cells]
    for form in (cells, pa.array(cells, pa.string()), pa.array(cells, pa.string()).dictionary_encode()):
        assert holds(form, Condition("t", op, "b")).tolist() == wanted


TIMES = [
    pa.date32(),
    pa.date64(),
    *(pa.timestamp(unit, tz) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC")),
]
DAYS = st.lists(st.dates(date(1960, 1, 1), date(2030, 1, 1)) | st.none(), min_size=1, max_size=8)


@pytest.mark.parametrize("kind", TIMES, ids=str)
@given(DAYS, st.sampled_from([*OPERATORS]), st.data())
def test_dates_and_times_are_compared_alike_in_every_unit(
    kind: Any, cells: list[date | None], op: str, data: st.DataObject
) -> None:
    other = data.draw(st.sampled_from([cell for cell in cells if cell is not None] or [date(2000, 1, 1)]))
    (condition,) = checked([Condition("t", op, str(other))], [Field("t", "time", str(kind))], "data")
    wanted = [cell is not None and OPERATORS[op](cell, other) for cell in cells]
    array = pa.array(cells, pa.date32()).cast(kind)
    for form in (array, pa.chunked_array([array, array.slice(0, 0)]), array.dictionary_encode()):
        assert holds(form, condition).tolist() == wanted


def test_a_time_between_two_units_is_compared_as_what_it_is() -> None:
    cells = pa.array([1, 2], pa.timestamp("s"))
    for op, wanted in (("<", [True, False]), ("<=", [True, False]), (">", [False, True]), ("=", [False, False])):
        assert holds(cells, Condition("t", op, "1970-01-01T00:00:01.500000+00:00")).tolist() == wanted


def test_booleans_are_compared_in_every_form() -> None:
    array = pa.array([True, None, False])
    words = ["TRUE", None, "false"]
    for form in (
        array, pa.chunked_array([array]), array.dictionary_encode(), pa.array(words), words, [True, None, False],
        np.ma.array([True, False, False], mask=[0, 1, 0]), np.array([1.0, np.nan, 0.0]),
    ):  # fmt: skip
        assert holds(form, Condition("b", "=", True)).tolist() == [True, False, False]
        assert holds(form, Condition("b", "!=", True)).tolist() == [False, False, True]
        assert holds(form, Condition("b", "in", (True, False))).tolist() == [True, False, True]


def test_what_is_no_number_is_not_asked_for() -> None:
    cells = [1, "x", True, None, "2", "1_0", [3], float("nan")]
    assert holds(cells, Condition("n", "!=", 7)).tolist() == [True, False, False, False, True, False, False, False]
    decimals = pa.array(["1.5", None]).cast(pa.decimal128(4, 2))
    assert holds(decimals, Condition("n", "<", 2)).tolist() == [True, False]


def test_rows_that_nobody_asks_for_are_set_aside() -> None:
    block = Block({"n": np.arange(10)}, 10, 0, 100)
    conditions = [Condition("n", ">=", 3), Condition("n", "in", (1, 4, 6))]
    left = asked_for(block, conditions)
    assert left is not None
    assert (left.first_row, left.rows) == (104, 3)
    assert left.set_aside is not None and left.set_aside.tolist() == [False, True, False]
    assert asked_for(block, [Condition("n", ">", 99)]) is None
    assert asked_for(block, []) is block


def test_a_bad_row_is_set_aside_only_where_what_was_read_tells_so() -> None:
    why = RowError("invalid_input", "bad")
    block = Block({"n": [1, 5, None, 5]}, 4, 0, 0, {0: why, 1: why, 2: why})
    left = asked_for(block, [Condition("n", "=", 5)])
    assert left is not None
    assert left.set_aside is None or not left.set_aside.any()
    assert (left.first_row, sorted(left.bad)) == (1, [0, 1])


def shards_of(path: Path, *conditions: Condition) -> list[tuple[int, int]]:
    kind, files = find_inputs(path)
    source = open_source(Data(kind, tuple(files)))
    source.narrow(conditions)
    made = [(shard.start, shard.stop) for shard in source.shards(ShardSize(rows=20))]
    source.close()
    return made


def test_groups_of_rows_that_cannot_match_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    numbers = pa.array(range(100))
    nulls = pa.array([None if row < 20 else f"{row:03}" for row in range(100)], pa.string())
    hours = pa.array(np.arange(100) * 3600, pa.timestamp("s", "UTC"))
    table = pa.table({"n": numbers, "t": nulls, "f": pa.array(np.arange(100) / 10, pa.float32()),
                      "d": pa.array(np.arange(100), pa.int32()).cast(pa.date32()), "z": hours,
                      "ns": hours.cast(pa.timestamp("ns", "UTC")), "b": pa.array(np.arange(100) >= 50)})  # fmt: skip
    pq.write_table(table, path, row_group_size=10)

    def rows(condition: Condition) -> set[int]:
        return {row for start, stop in shards_of(path, condition) for row in range(start, stop)}

    assert rows(Condition("n", ">=", 80)) == {*range(80, 100)}
    assert rows(Condition("n", "in", (5, 95))) == {*range(10), *range(90, 100)}
    assert rows(Condition("t", ">", "")) == {*range(20, 100)}
    assert rows(Condition("t", "=", "055")) == {*range(50, 60)}
    assert rows(Condition("f", "=", 0.1)) == {*range(10)}
    assert rows(Condition("n", "<", 0)) == set()
    assert rows(Condition("d", ">=", "1970-03-22T00:00:00+00:00")) == {*range(80, 100)}
    assert rows(Condition("z", "<", "1970-01-01T03:00:00+02:00")) == {*range(10)}
    assert rows(Condition("ns", "<", "1970-01-01T00:00:00+00:00")) == {*range(100)}
    assert rows(Condition("b", "=", True)) == {*range(50, 100)}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.sampled_from([*OPERATORS]), st.integers(-1, 10))
def test_no_row_that_matches_is_left_out(tmp_path_factory: Any, cells: list[int], op: str, value: int) -> None:
    path = tmp_path_factory.mktemp("groups") / "data.parquet"
    pq.write_table(pa.table({"n": cells}), path, row_group_size=4)
    kept = {row for start, stop in shards_of(path, Condition("n", op, value)) for row in range(start, stop)}
    assert kept >= {row for row, cell in enumerate(cells) if OPERATORS[op](cell, value)}


def double(n: Any) -> Any:
    return n * 2


def test_a_call_takes_conditions_as_the_command_line_does(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("id,n,kind\n007,1,x\n008,2,y\n009,3,x\n")
    report = score(double, tmp_path / "data.csv", tmp_path / "out.csv", key="id", mapping={"n": ["n"]},
                   where=["kind = x", "n > 1"])  # fmt: skip
    assert (report.rows, report.quarantined) == (1, 0)
    assert (tmp_path / "out.csv").read_text() == "id,output\n009,6\n"


def test_days_and_booleans_are_asked_for_as_people_write_them(tmp_path: Path) -> None:
    days = pa.array([date(2026, 1, day) for day in range(1, 21)])
    table = pa.table({"id": range(20), "n": range(20), "day": days, "paid": [row % 2 == 0 for row in range(20)]})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=5)
    report = score(double, tmp_path / "data.parquet", tmp_path / "out.csv", key="id", mapping={"n": ["n"]},
                   where=["day > 2026-01-15", "day != 2026-01-18", "paid = true"])  # fmt: skip
    assert (report.rows, report.quarantined) == (2, 0)
    assert (tmp_path / "out.csv").read_text() == "id,output\n16,32\n18,36\n"
