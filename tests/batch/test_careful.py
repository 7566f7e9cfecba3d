"""How the row is found that ends its process: few ends, every other row answered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foretell.batch.careful import Care, Range, calls
from foretell.errors import RowError

WHY = RowError("model_error", "it ended")


@given(st.integers(1, 30_000), st.data())
def test_it_is_found_in_few_ends(rows: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, 10**9))
    bad = set(data.draw(st.lists(st.integers(first, first + rows - 1), min_size=1, max_size=3)))
    care, ends = Care(), 0
    while True:
        made = calls(first, rows, 16_384, care.ranges)
        assert [start for start, _ in made] == [first, *(stop for _, stop in made[:-1])]
        assert made[-1][1] == first + rows
        at = next((call for call in made if any(call[0] <= row < call[1] for row in bad - set(care.left_out))), None)
        if at is None:
            break
        ends += 1
        care = care.after(at[0], at[1] - at[0], WHY, 2)
    assert set(care.left_out) == bad
    assert {error.attempts for error in care.left_out.values()} == {2}
    assert ends <= 5 * len(bad)


def test_calls_end_at_the_borders_of_ranges() -> None:
    assert calls(0, 10, 4, [Range(3, 5, 1)]) == [(0, 3), (3, 4), (4, 5), (5, 9), (9, 10)]


def test_where_ranges_overlap_the_smallest_call_holds() -> None:
    assert calls(0, 4, 4, [Range(0, 4, 2), Range(2, 4, 1)]) == [(0, 2), (2, 3), (3, 4)]


def test_a_row_is_tried_as_often_as_it_may_be() -> None:
    once = Care().after(7, 1, WHY, 3).after(7, 1, WHY, 3)
    assert once.left_out == {}
    assert once.after(7, 1, WHY, 3).left_out == {7: RowError("model_error", "it ended", 3)}
