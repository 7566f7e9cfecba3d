"""Making a model faster: only what was asked for, only what answers the same, and nothing left open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from engine_models import Doubler
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from onnx_build import build, identity, iris, iris_onnx, save, value

from foretell import InvalidInput, InvalidModel, InvalidSetting, ModelError, optimize_for_inference
from foretell.backends.differences import largest_difference
from foretell.columns import Batch, Bytes, Column, Dense, Ragged
from foretell.optimize import OptimizedPredictor

PASSES = ("graph_optimization", "kernel_fusion")


def convolution() -> onnx.ModelProto:
    """y = BatchNormalization(Conv(x)), with weights of no round numbers."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(8, 3, 3, 3)), "b": rng.normal(size=8)}
    weights |= {name: rng.uniform(0.5, 2.0, 8) for name in ("scale", "bias", "mean", "var")}
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        onnx.helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["y"]),
    ]
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    return build(nodes, [value("x", [None, 3, 6, 6])], [value("y", [None, 8, 4, 4])], weights=floats)


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return save(iris_onnx(zipmap=False), tmp_path)


class TestTheChoice:
    def test_is_measured_and_told(self, classifier: Path) -> None:
        flowers, names, _ = iris()
        with optimize_for_inference(classifier, flowers[:10], threads=1) as predictor:
            assert isinstance(predictor, OptimizedPredictor)
            report = {candidate.name: candidate for candidate in predictor.report}
            assert set(report) == {
                "as it is", "graph_optimization, 1 thread", "graph_optimization + kernel_fusion, 1 thread"
            }  # fmt: skip
            kept = [candidate for candidate in predictor.report if candidate.kept]
            assert len(kept) == 1 and kept[0].reason == "fastest"
            medians = [candidate.median_ms for candidate in predictor.report if candidate.median_ms is not None]
            assert kept[0].median_ms == min(medians)
            assert all(
                candidate.difference is not None and candidate.difference <= 1e-5 for candidate in predictor.report
            )
            expected = {"as it is": (), "graph_optimization, 1 thread": PASSES[:1]}.get(kept[0].name, PASSES)
            assert predictor.optimizations == expected
            assert predictor.predict(flowers)["label"].tolist() == predictor.predict_batch(flowers)["label"].tolist()
            assert np.mean(predictor.predict(flowers)["label"] == names) > 0.9

    def test_keeps_nothing_that_answers_otherwise(self, tmp_path: Path) -> None:
        """A convolution and the normalisation behind it become one operation, which rounds in another way."""
        image = np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32)
        with optimize_for_inference(save(convolution(), tmp_path), image, tolerance=0.0, threads=1) as predictor:
            assert predictor.optimizations == ()
            refused = [candidate for candidate in predictor.report if not candidate.kept]
            assert len(refused) == 2 and all("differs by" in candidate.reason for candidate in refused)

    def test_a_single_row_is_an_example_too(self, tmp_path: Path) -> None:
        path = save(identity([None, 2]), tmp_path)
        with optimize_for_inference(path, [1.0, 2.0], threads=1) as predictor:
            assert predictor.predict([1.0, 2.0]) == {"y": [1.0, 2.0]}

    def test_goes_with_the_other_options(self, classifier: Path) -> None:
        config = {"cache_size": 100, "timeout_s": 1000.0, "name": "flowers"}
        with optimize_for_inference(classifier, iris()[0][:5], config=config, threads=1) as predictor:
            assert predictor.identity.name == "flowers"
            for _ in range(2):
                predictor.predict(iris()[0][:5])
            assert predictor.stats()["cache"]["hits"] == 5


class TestModelsWithoutPasses:
    def test_come_back_as_they_are_and_are_opened_once(self) -> None:
        model = Doubler()
        with optimize_for_inference(model, [1.0, 2.0]) as predictor:
            assert predictor.predict(3.0) == {"y": 6.0}
            assert model.closed == 0, "the user's own model was closed on the way"
            assert [(candidate.kept, candidate.reason) for candidate in predictor.report] == [
                (True, "there is nothing to choose from")
            ]
        assert model.closed == 1

    def test_of_every_kind(self) -> None:
        with optimize_for_inference(lambda x: x * 2, np.ones(3)) as predictor:
            assert predictor.predict(np.ones(2)).tolist() == [2, 2]
        with optimize_for_inference(iris()[2], iris()[0][:3]) as predictor:
            assert "probabilities" in predictor.predict(iris()[0][:3])


class TestWhatIsWrong:
    @pytest.mark.parametrize("example", ["x", np.ones((2, 3)), [[1.0, 2.0, None, "a"]], None])
    def test_an_example_that_is_no_input_is_refused(self, example: Any, classifier: Path) -> None:
        with pytest.raises(InvalidInput):
            optimize_for_inference(classifier, example)

    def test_an_example_that_the_model_fails_on_is_an_error_and_closes_it(self) -> None:
        model = Doubler()
        with pytest.raises(ModelError, match="negative"):
            optimize_for_inference(model, [-1.0])
        assert model.closed == 1

    @pytest.mark.parametrize(
        "option",
        [
            {"optimize": True},
            {"optimize_model": False},
            {"optimizations": ["kernel_fusion"]},
            {"config": {"optimize": True}},
        ],
    )
    def test_what_is_chosen_here_cannot_be_asked_for(self, option: dict[str, Any], classifier: Path) -> None:
        with pytest.raises(InvalidSetting, match="are what is chosen here"):
            optimize_for_inference(classifier, iris()[0][:2], **option)

    @pytest.mark.parametrize("tolerance", [-1e-9, float("nan")])
    def test_a_tolerance_that_nothing_meets_is_refused(self, tolerance: float, classifier: Path) -> None:
        with pytest.raises(InvalidSetting, match="tolerance is out of range; expected 0 or more"):
            optimize_for_inference(classifier, iris()[0][:2], tolerance=tolerance)

    def test_an_unknown_option_is_refused_before_anything_is_measured(self, classifier: Path) -> None:
        with pytest.raises(InvalidSetting, match="did you mean 'threads'"):
            optimize_for_inference(classifier, iris()[0][:2], thread=1)

    def test_a_model_that_is_none_is_refused(self) -> None:
        with pytest.raises(InvalidModel):
            optimize_for_inference(object(), [1.0])


FLOATS = npst.arrays(np.float64, st.just((3, 2)), elements=st.floats(-1e6, 1e6))


class TestDifference:
    @given(FLOATS, st.floats(0, 1e3))
    def test_is_the_largest_gap(self, array: np.ndarray, gap: float) -> None:
        other = array.copy()
        other[1, 1] += gap
        found = largest_difference(Batch.of(y=array), Batch.of(y=other), 1e-9)
        assert found.largest == np.abs(other - array).max()
        assert found.within == bool(np.allclose(array, other, rtol=1e-9, atol=1e-9))

    @given(FLOATS)
    def test_of_the_same_is_none(self, array: np.ndarray) -> None:
        array[0] = [np.nan, np.inf]
        found = largest_difference(Batch.of(y=array), Batch.of(y=array.copy()), 0.0)
        assert (found.largest, found.within) == (0.0, True)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (Dense(np.array([1, 2])), Dense(np.array([1, 3]))),
            (Dense(np.array([1.0, 2.0])), Dense(np.array([1.0, np.nan]))),
            (Dense(np.array([1.0, 2.0])), Dense(np.array([[1.0], [2.0]]))),
            (Dense(np.array([1.0, 2.0])), Bytes.of(["1", "2"])),
            (Bytes.of(["a", "b"]), Bytes.of(["a", "c"])),
            (Ragged(Dense(np.ones(3)), np.array([0, 1, 3])), Ragged(Dense(np.ones(3)), np.array([0, 2, 3]))),
            (Ragged(Dense(np.ones(3)), np.array([0, 1, 3])), Ragged(Dense(np.zeros(3)), np.array([0, 1, 3]))),
        ],
    )
    def test_of_what_is_not_the_same_is_never_within(self, one: Column, other: Column) -> None:
        for first, second in ((one, other), (other, one)):
            assert not largest_difference(Batch({"y": first}, 2), Batch({"y": second}, 2), 0.1).within
        assert largest_difference(Batch({"y": one}, 2), Batch({"y": one}, 2), 0.0).within

    def test_of_other_outputs_is_endless(self) -> None:
        found = largest_difference(Batch.of(y=np.ones(2)), Batch.of(z=np.ones(2)), 1.0)
        assert (found.largest, found.within) == (float("inf"), False)
