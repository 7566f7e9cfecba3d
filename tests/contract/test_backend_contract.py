"""What every model of every backend keeps to. A backend joins by a `cases_*.py` beside this file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
from contract_case import Answer, Case, ask, assert_answers, column_values, dense_inputs, frozen, replaced, text_inputs

from foretell.backends.opened import Opened
from foretell.columns import Batch, Bytes, Column, Dense, Ragged
from foretell.errors import InvalidInput, ModelError, NotReady
from foretell.model import Model
from foretell.types import DataType, TensorSpec

LARGE_ROWS = 1000


def test_every_row_gets_its_answer(case: Case, model: Model) -> None:
    answer = ask(model, case.batch)
    assert not answer.errors
    assert_answers(answer, case, range(case.batch.rows))


def test_answers_are_what_the_spec_says(case: Case, model: Model) -> None:
    answer = ask(model, case.batch)
    for spec in model.spec.outputs or ():
        assert_fits(answer.columns[spec.name], spec)
    if model.spec.outputs is not None:
        assert [spec.name for spec in model.spec.outputs] == list(answer.columns)


def test_the_inputs_of_the_spec_take_the_batch(case: Case, model: Model) -> None:
    for spec in model.spec.inputs or ():
        assert_fits(case.batch.columns[spec.name], spec)


def test_labels_name_every_class(case: Case, model: Model) -> None:
    answer = ask(model, case.batch)
    for name, labels in (model.spec.labels or {}).items():
        column = answer.columns[name]
        if isinstance(column, Dense) and column.data.ndim > 1:
            assert len(labels) == column.data.shape[-1]


def test_no_rows_give_no_rows(case: Case, model: Model) -> None:
    full = ask(model, case.batch)
    empty = ask(model, case.batch.slice(0, 0))
    assert set(empty.columns) == set(full.columns)
    for name, column in empty.columns.items():
        assert len(column) == 0
        if isinstance(column, Dense) and isinstance(full.columns[name], Dense):
            assert column.data.dtype == full.columns[name].data.dtype


def test_a_row_alone_gets_the_answer_it_gets_among_others(case: Case, model: Model) -> None:
    for row in range(case.batch.rows):
        answer = ask(model, case.batch.slice(row, row + 1))
        assert answer.rows == [0]
        assert_answers(answer, case, [row])


def test_a_large_batch_gets_the_same_answers(case: Case, model: Model) -> None:
    rows = np.arange(LARGE_ROWS) % case.batch.rows
    answer = ask(model, case.batch.take(rows))
    assert len(answer.rows) == LARGE_ROWS
    assert_answers(answer, case, rows.tolist())


def test_rows_keep_their_order(case: Case, model: Model) -> None:
    rows = np.arange(case.batch.rows)[::-1].copy()
    assert_answers(ask(model, case.batch.take(rows)), case, rows.tolist())


def test_the_same_call_gives_the_same_bits(case: Case, model: Model) -> None:
    if not model.spec.deterministic:
        pytest.skip("the model is random")
    first, second = ask(model, case.batch), ask(model, case.batch)
    for name, column in first.columns.items():
        other = second.columns[name]
        if isinstance(column, Dense) and isinstance(other, Dense):
            assert column.data.tobytes() == other.data.tobytes()


def every_second(data: np.ndarray) -> np.ndarray:
    return np.repeat(data, 2, axis=0)[::2]


def backwards(data: np.ndarray) -> np.ndarray:
    return data[::-1].copy()[::-1]


def swapped(data: np.ndarray) -> np.ndarray:
    return data.astype(data.dtype.newbyteorder())


def unaligned(data: np.ndarray) -> np.ndarray:
    """As behind a head of any length in the body of a request."""
    return np.frombuffer(b"{" + data.tobytes(), data.dtype, offset=1).reshape(data.shape)


@pytest.mark.parametrize("layout", [every_second, backwards, np.asfortranarray, swapped, unaligned])
def test_memory_layout_does_not_matter(case: Case, model: Model, layout: Callable[[np.ndarray], np.ndarray]) -> None:
    batch = case.batch
    for name, column in dense_inputs(case.batch):
        batch = replaced(batch, name, Dense(layout(column.data)))
    assert_answers(ask(model, batch), case, range(batch.rows))


def test_what_it_is_given_is_not_written_to(case: Case, model: Model) -> None:
    assert_answers(ask(model, frozen(case.batch)), case, range(case.batch.rows))
    batch, given = case.batch.take(np.arange(case.batch.rows)), frozen(case.batch)
    for _ in range(2):
        assert_answers(ask(model, batch), case, range(batch.rows))
    for name, column in batch.columns.items():
        for row, same in zip(column_values(column), column_values(given.columns[name]), strict=True):
            np.testing.assert_array_equal(row, same)


def test_a_null_harms_no_other_row(case: Case, model: Model) -> None:
    for name, column in case.batch.columns.items():
        if isinstance(column, Ragged):
            continue
        valid = np.arange(case.batch.rows) != 1
        with_null: Column = (
            Dense(column.data, valid)
            if isinstance(column, Dense)
            else Bytes(column.offsets, column.data, column.row_shape, valid)
        )
        answer = ask(model, replaced(case.batch, name, with_null))
        assert_others_answered(answer, case, 1)
        spec = model.spec.input(name)
        if spec is not None and spec.datatype is not None and not spec.nullable and not spec.datatype.is_float:
            assert set(answer.errors) == {1}


def test_a_nan_harms_no_other_row(case: Case, model: Model) -> None:
    for name, column in dense_inputs(case.batch):
        if column.data.dtype.kind == "f":
            data = column.data.copy()
            data[1] = np.nan
            assert_others_answered(ask(model, replaced(case.batch, name, Dense(data))), case, 1)


def test_bytes_that_are_no_text_harm_no_other_row(case: Case, model: Model) -> None:
    for name, column in text_inputs(case.batch):
        items: list[bytes | str | None] = list(column.items())
        width = len(items) // case.batch.rows
        items[width : 2 * width] = [b"\xff\xfe"] * width
        answer = ask(model, replaced(case.batch, name, Bytes.of(items, column.row_shape)))
        assert_others_answered(answer, case, 1)


def test_a_missing_column_is_named(case: Case, model: Model) -> None:
    for name in known_inputs(model):
        rest = {other: column for other, column in case.batch.columns.items() if other != name}
        refused(model, Batch(rest, case.batch.rows), repr(name))
    assert_answers(ask(model, case.batch), case, range(case.batch.rows))


def test_an_extra_column_is_named(case: Case, model: Model) -> None:
    if known_inputs(model):
        refused(model, replaced(case.batch, "not_an_input", Bytes.of(["a"] * case.batch.rows)), "'not_an_input'")


def test_a_wrong_name_gets_the_nearest_one(case: Case, model: Model) -> None:
    for name in known_inputs(model):
        renamed = {f"{other}_" if other == name else other: column for other, column in case.batch.columns.items()}
        refused(model, Batch(renamed, case.batch.rows), f"did you mean {name!r}?")


def test_a_wrong_datatype_is_named(case: Case, model: Model) -> None:
    for name, spec in known_inputs(model).items():
        if spec.datatype is None:
            continue
        shape = tuple(size or 2 for size in spec.shape or ())
        count = case.batch.rows * int(np.prod(shape))
        wrong: Column = Bytes.of(["a"] * count, shape)
        if spec.datatype is DataType.BYTES:
            wrong = Dense(np.zeros((case.batch.rows, *shape)))
        refused(model, replaced(case.batch, name, wrong), f"expected {spec.datatype.value}")


def test_a_wrong_shape_is_named(case: Case, model: Model) -> None:
    for name, column in dense_inputs(case.batch):
        spec = known_inputs(model).get(name)
        if spec is None or spec.shape is None:
            continue
        refused(model, replaced(case.batch, name, Dense(column.data[..., None])), "shape")
        if spec.shape and spec.shape[-1] is not None:
            wide = np.concatenate([column.data, column.data[..., :1]], axis=-1)
            refused(model, replaced(case.batch, name, Dense(wide)), f"{column.data.shape[-1] + 1}]")
    assert_answers(ask(model, case.batch), case, range(case.batch.rows))


def test_columns_of_different_length_are_refused(case: Case, model: Model) -> None:
    for name in known_inputs(model):
        short = case.batch.columns[name].slice(0, case.batch.rows - 1)
        refused(model, replaced(case.batch, name, short), "rows")


def test_callers_on_many_threads_get_their_own_answers(case: Case, model: Model) -> None:
    lock = threading.Lock()
    callers = 8
    together = threading.Barrier(callers)

    def turn() -> AbstractContextManager[object]:
        return nullcontext() if model.spec.concurrent else lock

    def caller(number: int) -> None:
        together.wait()
        for call in range(5):
            rows = np.arange(number + call, number + call + 3) % case.batch.rows
            with turn():
                answer = ask(model, case.batch.take(rows))
            assert_answers(answer, case, rows.tolist())

    with ThreadPoolExecutor(callers) as pool:
        for done in [pool.submit(caller, number) for number in range(callers)]:
            done.result()


def test_closing_twice_is_harmless(case: Case, own_model: Model) -> None:
    ask(own_model, case.batch)
    own_model.close()
    own_model.close()


def test_a_closed_model_refuses_or_answers_but_never_breaks(case: Case, own_model: Model) -> None:
    own_model.close()
    try:
        answer = ask(own_model, case.batch)
    except (NotReady, ModelError):
        return
    assert_answers(answer, case, range(case.batch.rows))


def test_closing_an_unloaded_model_is_harmless(own: Opened) -> None:
    own.model.close()


def test_the_variant_is_text_and_stays_the_same(model: Model, own_model: Model) -> None:
    assert own_model.variant() == model.variant()
    assert all(isinstance(each, str) for pair in model.variant().items() for each in pair)


def test_the_digest_is_of_the_artefact(opened: Opened) -> None:
    assert opened.digest == "" or (opened.digest.startswith("sha256:") and len(opened.digest) == 71)
    assert opened.name
    assert opened.source


def known_inputs(model: Model) -> dict[str, TensorSpec]:
    return {spec.name: spec for spec in model.spec.inputs or ()}


def refused(model: Model, batch: Batch, mention: str) -> None:
    """The call ends with one sentence that mentions what is wrong."""
    with pytest.raises(InvalidInput) as caught:
        ask(model, batch)
    assert mention in str(caught.value)
    assert "\n" not in str(caught.value)


def assert_others_answered(answer: Answer, case: Case, bad: int) -> None:
    """Every row but `bad` has its right answer; `bad` has an answer or a reason."""
    rows = range(case.batch.rows)
    assert set(answer.rows) | set(answer.errors) == set(rows)
    assert set(answer.errors) <= {bad}
    others = [at for at, row in enumerate(answer.rows) if row != bad]
    kept = {name: [values[at] for at in others] for name, values in answer.values.items()}
    assert_answers(Answer([answer.rows[at] for at in others], kept, answer.columns, {}), case, rows)


def assert_fits(column: Column, spec: TensorSpec) -> None:
    values = column.values if isinstance(column, Ragged) else column
    if spec.datatype is not None:
        if isinstance(values, Bytes):
            assert spec.datatype is DataType.BYTES
        else:
            assert values.data.dtype == spec.datatype.numpy
    if spec.shape is not None:
        given = (None, *values.row_shape) if isinstance(column, Ragged) else values.row_shape
        assert len(given) == len(spec.shape)
        assert all(want is None or want == size for want, size in zip(spec.shape, given, strict=True))
