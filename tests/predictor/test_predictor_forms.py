"""Every way in which existing users of such pipelines write it, one by one."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from onnx_build import identity, iris, iris_onnx, save

import foretell
from foretell import BasePredictor, InferenceError, InvalidModel, InvalidSetting, ModelError, Predictor, Unavailable
from foretell.columns import Batch, Dense
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

X = [[1.0, 2.0], [3.0, 4.0]]


def total(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1)


class Doubles(Model):
    """A model of the user's own."""

    spec = ModelSpec(
        inputs=(TensorSpec("x", DataType.FP64, (2,)),), outputs=(TensorSpec("twice", DataType.FP64, (2,)),)
    )

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return Batch({"twice": Dense(batch.dense("x") * 2)}, batch.rows)


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    return save(identity([None, 2]), tmp_path)


class TestTheFormsOfTheModel:
    def test_a_callable(self) -> None:
        with Predictor(model=total, example=X) as predictor:
            assert predictor.predict(X) == [3.0, 7.0]

    def test_an_estimator(self) -> None:
        flowers, names, classifier = iris()
        with Predictor(model=classifier) as predictor:
            answer = predictor.predict(flowers[:5])
        assert answer["label"].tolist() == names[:5].tolist()
        np.testing.assert_allclose(answer["probabilities"], classifier.predict_proba(flowers[:5].astype(np.float64)))

    def test_a_model_of_ones_own(self) -> None:
        with Predictor(model=Doubles()) as predictor:
            assert predictor.predict(X) == [{"twice": [2, 4]}, {"twice": [6, 8]}]

    @pytest.mark.parametrize("kind", [str, Path])
    def test_a_path(self, kind: type, onnx_file: Path) -> None:
        with Predictor(model=kind(onnx_file)) as predictor:
            np.testing.assert_array_equal(predictor.predict(np.float32(X))["y"], X)

    def test_a_reference(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "house_of_mine.py").write_text(
            "class Ten:\n    def predict(self, x):\n        return x.sum(axis=1) * 10\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        with Predictor(model="house_of_mine:Ten", example=X) as predictor:
            assert predictor.predict(X) == [30.0, 70.0]
        with Predictor(model=f"{tmp_path / 'house_of_mine.py'}:Ten", example=X) as predictor:
            assert predictor.predict(X) == [30.0, 70.0]

    def test_another_predictor(self) -> None:
        with Predictor(model=total, example=X) as inner, Predictor(model=inner, cache_size=10) as predictor:
            for _ in range(2):
                assert predictor.predict(X) == [3.0, 7.0]
            assert predictor.stats()["cache"]["hits"] == 2

    @pytest.mark.parametrize("model", [None, 3, object(), "nowhere.onnx", "no_such_module:Thing", ""])
    def test_what_is_no_model_is_refused(self, model: Any) -> None:
        with pytest.raises(InvalidModel):
            Predictor(model=model)


class TestTheFormsOfTheOptions:
    def test_optimize_model_and_batch_size(self, onnx_file: Path) -> None:
        with Predictor(model=onnx_file, optimize_model=True, batch_size=32) as predictor:
            assert predictor.optimizations == ("graph_optimization", "kernel_fusion")
            answer = predictor.predict(np.zeros((100, 2), np.float32))
            assert answer["y"].shape == (100, 2)
            assert predictor.stats()["requests"] == 4, "100 rows in calls of at most 32"

    def test_optimize_model_of_what_has_no_passes_says_so_where_it_was_asked(self) -> None:
        with pytest.warns(UserWarning, match="there is no optimisation for it here; it runs as it is") as caught:
            predictor = Predictor(model=total, optimize_model=True, batch_size=32, example=X)
        assert caught[0].filename == __file__
        assert predictor.predict(X) == [3.0, 7.0]
        assert predictor.optimizations == ()

    def test_a_config_asks_for_a_device_and_gets_it_or_hears_what_there_is(self, onnx_file: Path) -> None:
        config = {"batch_size": 32, "device": "cuda", "precision": "fp16", "optimize": True}
        with pytest.raises(Unavailable) as caught:
            Predictor(model=onnx_file, config=config)
        assert "cpu" in str(caught.value) or "fp32" in str(caught.value)
        here = {"batch_size": 32, "device": "cpu", "precision": "fp32", "optimize": True}
        with Predictor(model=onnx_file, config=here) as predictor:
            assert predictor.config == here
            assert predictor.predict(np.float32(X))["y"].shape == (2, 2)

    @pytest.mark.parametrize("model", [total, Doubles(), "estimator"])
    @pytest.mark.parametrize(
        "option", [{"device": "cuda"}, {"precision": "fp16"}, {"optimizations": ["kernel_fusion"]}]
    )
    def test_a_device_precision_or_pass_that_is_not_there_is_never_ignored(
        self, model: Any, option: dict[str, Any]
    ) -> None:
        with pytest.raises(Unavailable):
            Predictor(model=iris()[2] if model == "estimator" else model, **option)

    def test_optimizations_and_cache_size(self, onnx_file: Path) -> None:
        names = ["graph_optimization", "kernel_fusion"]
        with Predictor(model=onnx_file, optimizations=names, cache_size=1000) as predictor:
            assert predictor.stats()["optimizations"] == names
            for _ in range(3):
                predictor.predict(np.float32(X))
            assert predictor.stats()["cache"] == {"hits": 4, "misses": 2, "rows": 2}

    def test_no_optimizations_at_all(self, onnx_file: Path) -> None:
        for option in ({"optimize": False}, {"optimizations": []}):
            with Predictor(model=onnx_file, **option) as predictor:
                assert predictor.optimizations == ()

    def test_an_unknown_pass_or_option_names_the_nearest(self, onnx_file: Path) -> None:
        with pytest.raises(InvalidSetting, match="kernel_fusion"):
            Predictor(model=onnx_file, optimizations=["kernel_fussion"])
        with pytest.raises(InvalidSetting, match="did you mean 'batch_size'"):
            Predictor(model=onnx_file, batch_sise=3)

    def test_a_name_and_a_version_are_the_identitys(self) -> None:
        with Predictor(model=total, name="sums", version=3, example=X) as predictor:
            assert (predictor.identity.name, predictor.identity.version) == ("sums", "3")


FORMS: dict[str, Any] = {
    "list": X,
    "tuple": tuple(map(tuple, X)),
    "dicts": [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}],
    "dict of lists": {"a": [1.0, 3.0], "b": [2.0, 4.0]},
    "dict of arrays": {"a": np.array([1.0, 3.0]), "b": np.array([2.0, 4.0])},
    "numpy": np.array(X),
    "pandas": pd.DataFrame({"a": [1.0, 3.0], "b": [2.0, 4.0]}, index=[7, 9]),
    "polars": pl.DataFrame({"a": [1.0, 3.0], "b": [2.0, 4.0]}),
    "arrow": pa.table({"a": [1.0, 3.0], "b": [2.0, 4.0]}),
}


class Sums(Doubles):
    spec = ModelSpec(
        inputs=(TensorSpec("x", DataType.FP64, (2,)),),
        outputs=(TensorSpec("sum", DataType.FP64, ()),),
        features={"x": ("a", "b")},
    )

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return Batch({"sum": Dense(batch.dense("x").sum(axis=1))}, batch.rows)


def plain(answer: Any) -> Any:
    """An answer of any form as the list of its sums, and the kind it came in."""
    if isinstance(answer, list):
        return [row["sum"] for row in answer], "list"
    if isinstance(answer, dict):
        return list(answer["sum"]), "arrays" if isinstance(answer["sum"], np.ndarray) else "dict"
    if isinstance(answer, pd.DataFrame):
        assert answer.index.tolist() == [7, 9]
        return answer["sum"].tolist(), "pandas"
    return (
        (answer["sum"].to_list(), "polars")
        if isinstance(answer, pl.DataFrame)
        else (answer["sum"].to_pylist(), "arrow")
    )


KINDS = ["list", "list", "list", "dict", "arrays", "arrays", "pandas", "polars", "arrow"]


@pytest.mark.parametrize(("form", "kind"), list(zip(FORMS, KINDS, strict=True)))
async def test_the_answer_comes_in_the_form_of_the_question(form: str, kind: str) -> None:
    data = FORMS[form]
    with Predictor(model=Sums()) as predictor:
        assert plain(predictor.predict(data)) == ([3.0, 7.0], kind)
        assert plain(predictor(data)) == ([3.0, 7.0], kind)
        assert plain(await predictor.apredict(data)) == ([3.0, 7.0], kind)
        for size in (1, 2, 5):
            assert plain(predictor.predict_batch(data, batch_size=size)) == ([3.0, 7.0], kind)
        assert plain(await predictor.apredict_batch(data, batch_size=1)) == ([3.0, 7.0], kind)
        assert [plain(answer) for answer in predictor.predict_batch(iter([data, data]))] == [([3.0, 7.0], kind)] * 2


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ([1.0, 2.0], {"sum": 3.0}),
        ((1.0, 2.0), {"sum": 3.0}),
        ({"a": 1.0, "b": 2.0}, {"sum": 3.0}),
        (np.array([1.0, 2.0]), {"sum": np.float64(3.0)}),
    ],
)
async def test_a_single_row_has_a_single_answer_everywhere(row: Any, answer: Any) -> None:
    with Predictor(model=Sums()) as predictor:
        single = predictor.predict(row)
        assert single == answer and type(single["sum"]) is type(answer["sum"])
        assert predictor.predict_batch(row) == answer
        assert await predictor.apredict(row) == answer
        assert await predictor.apredict_batch(row) == answer
        for one in predictor.predict_batch(iter([row, row])):
            assert one == answer and type(one["sum"]) is type(answer["sum"])


@pytest.mark.parametrize("workers", [None, 0, 1, 4])
@pytest.mark.parametrize("size", [None, 1, 7, 64, 10_000])
def test_big_data_in_any_calls_gives_one_answer(workers: int | None, size: int | None) -> None:
    big = np.arange(600.0).reshape(300, 2)
    with Predictor(model=Sums()) as predictor:
        answer = predictor.predict_batch(data=big, batch_size=size, num_workers=workers)
        np.testing.assert_array_equal(answer["sum"], big.sum(axis=1))
        calls = predictor.stats()["requests"]
    if size is not None:
        assert calls == -(-300 // size)


def test_numbers_of_calls_may_be_numpys() -> None:
    with Predictor(model=Sums()) as predictor:
        answer = predictor.predict_batch(np.ones((10, 2)), batch_size=np.int64(3), num_workers=np.int32(1))
        assert len(answer["sum"]) == 10


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"batch_size": -3}, {"batch_size": "all"}, {"batch_size": 2.0}, {"batch_size": True},
     {"num_workers": -1}, {"num_workers": 1.5}],
)  # fmt: skip
def test_numbers_of_calls_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with Predictor(model=Sums()) as predictor:
        for data in (np.ones((3, 2)), iter([np.ones((3, 2))])):
            with pytest.raises(InvalidSetting, match="is out of range; expected a whole number"):
                predictor.predict_batch(data, **wrong)


def test_base_predictor_takes_a_model_and_a_config() -> None:
    predictor = BasePredictor(total, {"batch_size": 16, "example": X})
    assert predictor.model is total
    assert predictor.config["batch_size"] == 16
    assert predictor.predict(X) == [3.0, 7.0]
    predictor.close()


def test_optimize_for_inference(tmp_path: Path) -> None:
    flowers, names, _ = iris()
    path = save(iris_onnx(zipmap=False), tmp_path)
    predictor = foretell.optimize_for_inference(path, flowers[:20])
    assert predictor.predict(flowers[:20])["label"].tolist() == names[:20].tolist()
    predictor.close()


class TestEveryFailureIsAnInferenceError:
    def test_of_the_model_with_its_cause(self) -> None:
        def broken(x: np.ndarray) -> np.ndarray:
            raise ZeroDivisionError("deep inside")

        with Predictor(model=broken) as predictor:
            for call in (
                lambda: predictor.predict(X),
                lambda: predictor(X),
                lambda: predictor.predict_batch(X, batch_size=1),
                lambda: list(predictor.predict_batch(iter(X))),
                lambda: asyncio.run(predictor.apredict(X)),
                lambda: asyncio.run(predictor.apredict_batch(X)),
            ):
                with pytest.raises(ModelError, match="ZeroDivisionError: deep inside") as caught:
                    call()
                assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_of_a_model_that_ends_the_process(self) -> None:
        def leaves(x: np.ndarray) -> np.ndarray:
            raise SystemExit(1)

        with Predictor(model=leaves) as predictor, pytest.raises(ModelError, match="SystemExit"):
            predictor.predict(X)

    @pytest.mark.parametrize("hook", ["preprocess", "postprocess"])
    async def test_of_a_hook_with_its_cause(self, hook: str) -> None:
        def fails(self: Any, data: Any) -> Any:
            raise KeyError("in the hook")

        kind = type("Mine", (BasePredictor,), {hook: fails})
        with kind(total, example=X) as predictor:
            for way in (
                lambda: predictor.predict(X),
                lambda: predictor.predict_batch(X),
                lambda: list(predictor.predict_batch(iter([X]))),
            ):
                with pytest.raises(ModelError, match=rf"^Mine.{hook}: KeyError: 'in the hook'") as caught:
                    way()
                assert isinstance(caught.value.__cause__, KeyError)
            with pytest.raises(ModelError, match="in the hook"):
                await predictor.apredict(X)

    def test_of_loading_with_its_cause(self) -> None:
        class Unloadable:
            def load(self) -> None:
                raise OSError("disk")

            def predict(self, x: np.ndarray) -> np.ndarray:
                return x

        with pytest.raises(InferenceError, match="disk") as caught:
            Predictor(model=Unloadable())
        assert isinstance(caught.value.__cause__, OSError)


def test_closing_ends_it_and_with_closes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Predictor(model=total, example=X) as predictor:
            predictor.predict(X)
        predictor.close()
    for call in (lambda: predictor.predict(X), lambda: predictor.predict_batch(X)):
        with pytest.raises(foretell.NotReady, match="closed"):
            call()


@pytest.mark.parametrize("option", [{"trust": ("numpy.dtype",)}, {"allow_pickle": True}])
def test_a_permission_that_the_kind_of_model_has_no_use_for_is_refused(option: dict[str, Any], onnx_file: Path) -> None:
    (name,) = option
    for model in (onnx_file, total, iris()[2]):
        with pytest.raises(InvalidSetting, match=f"{name} is for .*files.*, and there is none here; leave it out"):
            Predictor(model=model, **option)
