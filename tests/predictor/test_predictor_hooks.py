"""Subclasses that change the steps of a prediction: alone, together, in process and through the doors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from foretell import BasePredictor, InvalidInput, InvalidSetting, ModelError, Predictor, Unavailable
from foretell.backends import open_model
from foretell.columns import Batch, Bytes, Dense
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

ROW = [1.0, 2.0]
X = [ROW, [3.0, 4.0]]


def doubled(x: np.ndarray) -> np.ndarray:
    return x * 2


class Before(BasePredictor):
    """Adds one to every value before the model."""

    def preprocess(self, data: Any) -> Any:
        return np.asarray(data) + 1


class After(BasePredictor):
    """Adds up the values of a row after the model."""

    def postprocess(self, outputs: Any) -> Any:
        return np.asarray(outputs).sum(axis=-1)


class Both(Before, After):
    pass


class Replaced(BasePredictor):
    """Predicts by itself, with the model it was given."""

    def predict(self, data: Any) -> Any:
        return self.model(np.asarray(data)) + 100  # type: ignore[operator]


class Wrapped(Both):
    """Does something around the usual way."""

    def predict(self, data: Any) -> Any:
        return np.asarray(super().predict(data)) * -1


class Optimized(BasePredictor):
    """Gives another model to run in place of the one it was given."""

    def _optimize_model(self) -> object:
        return lambda x: x * 20


class All(Wrapped, Optimized):
    pass


Hook = type[BasePredictor]

HOOKED: dict[Hook, Callable[[np.ndarray], np.ndarray]] = {
    Predictor: lambda x: x * 2,
    Before: lambda x: (x + 1) * 2,
    After: lambda x: (x * 2).sum(axis=-1),
    Both: lambda x: ((x + 1) * 2).sum(axis=-1),
    Replaced: lambda x: x * 2 + 100,
    Wrapped: lambda x: -((x + 1) * 2).sum(axis=-1),
    Optimized: lambda x: x * 20,
    All: lambda x: -((x + 1) * 20).sum(axis=-1),
}

every = pytest.mark.parametrize("kind", list(HOOKED), ids=lambda kind: kind.__name__)


def made(kind: Hook, **options: Any) -> BasePredictor:
    return kind(doubled, {"example": X, **options})


@every
@pytest.mark.parametrize("rows", [1, 2, 50])
async def test_hooks_run_wherever_a_prediction_is_made(kind: Hook, rows: int) -> None:
    data = np.arange(2.0 * rows).reshape(rows, 2)
    expected = HOOKED[kind](data)
    with made(kind) as predictor:
        answers = [
            predictor.predict(data),
            predictor(data),
            predictor.predict_batch(data),
            predictor.predict_batch(data, batch_size=7, num_workers=3),
            predictor.predict_batch(data, batch_size=1, num_workers=0),
            await predictor.apredict(data),
            await predictor.apredict_batch(data, batch_size=7),
            np.concatenate(
                [np.asarray(block) for block in predictor.predict_batch(iter([data[:1], data[1:]])) if len(block)]
            ),
        ]
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


def through_a_door(source: object, batch: Batch, **settings: Any) -> Batch:
    opened = open_model(source, ModelSettings(**settings))
    engine = Engine(opened.model, ModelSettings(**settings), name=opened.name).load()
    try:
        by_run, by_infer = engine.run(batch), asyncio.run(engine.infer(batch))
    finally:
        engine.close()
    for name, column in by_run.columns.items():
        np.testing.assert_array_equal(getattr(column, "data", None), getattr(by_infer.columns[name], "data", None))
    return by_run


@every
def test_hooks_run_behind_a_door_as_in_process(kind: Hook) -> None:
    data = np.arange(20.0).reshape(10, 2)
    with made(kind) as predictor:
        answer = through_a_door(predictor, Batch.of(x=data))
        (name,) = answer.columns
        np.testing.assert_array_equal(answer.dense(name), HOOKED[kind](data))
        assert through_a_door(predictor, Batch.of(x=data[:0])).rows == 0


def test_hooks_see_what_the_caller_passed() -> None:
    seen: list[Any] = []

    class Looks(BasePredictor):
        def preprocess(self, data: Any) -> Any:
            seen.append(data)
            return [[len(word), 0.0] for word in data]

        def postprocess(self, outputs: Any) -> Any:
            seen.append(outputs)
            return [f"{first:g}" for first, _ in outputs]

    with Looks(doubled, example=X) as predictor:
        assert predictor.predict(["ab", "c"]) == ["4", "2"]
        assert seen == [["ab", "c"], [[4.0, 0.0], [2.0, 0.0]]]
        assert predictor.predict_batch(["ab", "c", "def"], batch_size=2) == ["4", "2", "6"]
        words = through_a_door(predictor, Batch({"text": Bytes.of(["abc", "d"])}, 2))
        (answer,) = words.columns.values()
        assert isinstance(answer, Bytes) and answer.items() == [b"6", b"2"]
        assert seen[-2] is not None and ["abc", "d"] in seen


def test_a_row_that_a_hook_makes_unfit_ends_alone_behind_a_door() -> None:
    class Strict(Model):
        spec = ModelSpec(
            inputs=(TensorSpec("x", DataType.FP64, (), allow_nan=False),),
            outputs=(TensorSpec("y", DataType.FP64, ()),),
        )

        def predict(self, batch: Batch, ctx: Context) -> Batch:
            assert not np.isnan(batch.dense("x")).any(), "a row that the model does not take reached it"
            return Batch({"y": Dense(batch.dense("x") * 2)}, batch.rows)

    class Logs(BasePredictor):
        def preprocess(self, data: Any) -> Any:
            with np.errstate(all="ignore"):
                return np.log(np.asarray(data))

    with Logs(Strict()) as predictor:
        opened = open_model(predictor, ModelSettings())
        engine = Engine(opened.model, ModelSettings()).load()
        answer = engine.run(Batch.of(x=np.array([1.0, -1.0, np.e])))
        engine.close()
    assert set(answer.errors) == {1}
    assert "NaN" in answer.errors[1].message
    np.testing.assert_allclose(answer.dense("y")[[0, 2]], [0.0, 2.0])


@pytest.mark.parametrize("spec", [{"row_wise": False}, {"stateful": True}, {"batch": None}, {"deterministic": False}])
def test_what_a_model_is_it_stays_behind_hooks(spec: dict[str, Any]) -> None:
    class Mine(Model):
        def __init__(self) -> None:
            self.spec = ModelSpec(**spec)

        def predict(self, batch: Batch, ctx: Context) -> Batch:
            return batch

    with Before(Mine()) as predictor:
        model = open_model(predictor, ModelSettings()).model
        model.load("cpu")
        for name, value in spec.items():
            assert getattr(model.spec, name) == value
        assert model.spec.inputs is None and not model.spec.concurrent


def test_settings_that_come_too_late_for_a_predictor_are_refused() -> None:
    with made(Before) as predictor:
        for late in ({"precision": "fp16"}, {"optimizations": ("kernel_fusion",)}, {"threads": 2}, {"batch": 4}):
            with pytest.raises((Unavailable, InvalidSetting)):
                open_model(predictor, ModelSettings(**late))
        with pytest.raises(Unavailable, match="expected cpu, got cuda"):
            Engine(open_model(predictor, ModelSettings()).model, ModelSettings(device="cuda")).load()


def test_the_identity_of_a_served_predictor_tells_its_class() -> None:
    with made(Before) as one, made(After) as other:
        variants = [open_model(each, ModelSettings()).model.variant() for each in (one, other)]
    assert variants[0] != variants[1]


def test_optimizing_is_asked_for_unless_it_is_switched_off() -> None:
    with made(Optimized, optimize=True) as asked, made(Optimized, optimize=False) as off:
        assert asked.predict(ROW) == [20.0, 40.0]
        assert off.predict(ROW) == [2.0, 4.0]
        assert asked.model is not doubled and off.model is doubled


def test_an_optimized_model_may_be_empty_but_not_none() -> None:
    class Falsy:
        def __len__(self) -> int:
            return 0

        def __call__(self, x: np.ndarray) -> np.ndarray:
            return x * 7

    class Mine(BasePredictor):
        def _optimize_model(self) -> object:
            return Falsy()

    class Nothing(BasePredictor):
        def _optimize_model(self) -> object:
            return None

    with Mine(doubled, example=X) as mine, Nothing(doubled, example=X) as nothing:
        assert mine.predict(ROW) == [7.0, 14.0]
        assert nothing.predict(ROW) == [2.0, 4.0]


def test_a_failing_optimization_is_an_error_with_its_cause() -> None:
    class Mine(BasePredictor):
        def _optimize_model(self) -> object:
            raise RuntimeError("no compiler")

    with pytest.raises(ModelError, match=r"Mine\._optimize_model: RuntimeError: no compiler") as caught:
        Mine(doubled)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_parts_that_cannot_be_put_together_are_an_error_that_says_how() -> None:
    class Sentence(BasePredictor):
        def postprocess(self, outputs: Any) -> Any:
            return f"{len(outputs)} rows"

    with Sentence(doubled, example=X) as predictor:
        assert predictor.predict(X) == "2 rows"
        assert predictor.predict_batch(X) == "2 rows"
        with pytest.raises(ModelError, match="do not go together; got str; let the hooks give one value for each row"):
            predictor.predict_batch(X, batch_size=1)
        assert list(predictor.predict_batch(iter([X, X]))) == ["2 rows", "2 rows"]


@pytest.mark.parametrize("data", [X, iter([X])])
def test_a_predict_of_ones_own_reports_rows_itself(data: Any) -> None:
    with made(Replaced) as predictor, pytest.raises(InvalidSetting, match="on_row_error"):
        predictor.predict_batch(data, on_row_error=lambda row, error: None)


def test_wrong_input_through_a_hook_is_still_wrong_input() -> None:
    with made(Before) as predictor, pytest.raises(InvalidInput):
        predictor.predict(np.ones((2, 3, 4)))


class Declaring(BasePredictor):
    inputs = (TensorSpec("pixels", DataType.UINT8, (None,)),)
    outputs = (TensorSpec("scores", DataType.FP64, (2,)),)
    labels: ClassVar = {"scores": ("dark", "bright")}

    def preprocess(self, data: Any) -> Any:
        return np.asarray(data, np.float64)

    def postprocess(self, outputs: Any) -> Any:
        return {"scores": np.stack([1 - outputs, outputs], axis=1)}


def test_a_predictor_tells_the_doors_what_its_hooks_take_and_give() -> None:
    with Declaring(lambda x: x.mean(axis=1) / 255) as predictor:
        opened = open_model(predictor, ModelSettings())
        engine = Engine(opened.model, ModelSettings(), name="d").load()
        try:
            assert engine.spec.inputs == Declaring.inputs
            assert engine.spec.outputs == Declaring.outputs
            assert engine.spec.labels == Declaring.labels
            answer = engine.run(Batch.of(pixels=np.full((1, 4), 255, np.uint8)))
            np.testing.assert_array_equal(answer.dense("scores"), [[0.0, 1.0]])
            with pytest.raises(InvalidInput, match="pixel"):
                engine.run(Batch.of(pixel=np.zeros((1, 4), np.uint8)))
        finally:
            engine.close()


class Fails(BasePredictor):
    def predict(self, data: Any) -> Any:
        raise KeyError("mine")


def test_a_subclasss_own_predict_raises_one_tree_of_errors_however_it_is_called() -> None:
    with Fails(doubled) as predictor:
        for call in (predictor.predict, predictor, predictor.predict_batch):
            with pytest.raises(ModelError, match=r"Fails\.predict: KeyError: 'mine'") as caught:
                call([ROW])  # type: ignore[operator]
            assert isinstance(caught.value.__cause__, KeyError)


class KeepsAnswer(BasePredictor):
    """Each answer in the same array."""

    kept = np.zeros((8, 2))

    def postprocess(self, outputs: Any) -> Any:
        return np.add(outputs, 1, out=self.kept[: len(outputs)])


class KeepsWhole(KeepsAnswer):
    def predict(self, data: Any) -> Any:
        return {"y": np.add(data, 1, out=self.kept[: len(data)])}


@pytest.mark.parametrize("kind", [KeepsAnswer, KeepsWhole])
def test_much_data_through_a_hook_that_keeps_its_answer(kind: type[BasePredictor]) -> None:
    rows = np.arange(12.0).reshape(6, 2)
    with kind(lambda x: x) as predictor:
        answer = predictor.predict_batch(rows, batch_size=2)
    np.testing.assert_array_equal(answer["y"] if isinstance(answer, dict) else answer, rows + 1)


def test_frames_of_a_hook_are_joined_whatever_the_question_was() -> None:
    class Frames(BasePredictor):
        def postprocess(self, outputs: Any) -> Any:
            return pd.DataFrame(np.asarray(outputs), columns=["a", "b"])

    rows = np.arange(6.0).reshape(3, 2)
    with Frames(lambda x: x) as predictor:
        pd.testing.assert_frame_equal(predictor.predict_batch(rows, batch_size=2), predictor.predict(rows))
