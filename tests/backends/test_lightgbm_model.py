"""LightGBM: every objective answers as the library does, and a bad file is one sentence."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from boosted import FLOWERS, GROUPS, SPECIES, asked, columns, refusals, towns
from lightgbm_here import lightgbm
from live_models import loaded

from foretell import Predictor
from foretell.backends import open_model
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidModel, Unavailable, UnsafeModel
from foretell.types import DataType, TensorSpec

WANTED = {
    "binary": "probabilities", "multiclass": "probabilities", "multiclassova": "probabilities",
    "lambdarank": "score", "rank_xendcg": "score", "regression": "prediction", "regression_l1": "prediction",
    "huber": "prediction", "poisson": "prediction", "quantile": "prediction", "gamma": "prediction",
    "tweedie": "prediction", "cross_entropy": "prediction",
}  # fmt: skip


def own_objective(scores: Any, data: Any) -> Any:
    return scores - data.get_label(), np.ones_like(scores)


@cache
def trained(objective: Any = "binary", boosting: str = "gbdt", linear: bool = False) -> Any:
    params = {"objective": objective, "boosting": boosting, "verbose": -1, "num_threads": 1, "linear_tree": linear}
    name, group = str(objective), None
    label = SPECIES + 1.0
    if name.startswith("multi"):
        params["num_class"], label = 3, SPECIES
    elif "rank" in name:
        label, group = SPECIES, GROUPS
    elif name in ("binary", "cross_entropy"):
        label = SPECIES > 0
    if boosting == "rf":
        params |= {"bagging_freq": 1, "bagging_fraction": 0.5}
    return lightgbm.train(params, lightgbm.Dataset(FLOWERS, label, group=group), 3)


def file_of(made: Any, folder: Path) -> Path:
    made.save_model(folder / "m.txt")
    return folder / "m.txt"


@pytest.mark.parametrize("boosting", ["gbdt", "dart", "rf"])
@pytest.mark.parametrize("objective", WANTED)
def test_a_booster_and_its_file_answer_as_it_predicts(objective: str, boosting: str, tmp_path: Path) -> None:
    made = trained(objective, boosting)
    wanted = made.predict(FLOWERS)
    for source in (made, file_of(made, tmp_path)):
        got = asked(loaded(source), FLOWERS)[WANTED[objective]]
        np.testing.assert_array_equal(got[:, 1] if objective == "binary" else got, wanted)


def test_linear_trees_answer_from_their_file(tmp_path: Path) -> None:
    made = trained("regression", linear=True)
    np.testing.assert_array_equal(asked(loaded(file_of(made, tmp_path)), FLOWERS)["prediction"], made.predict(FLOWERS))


def test_an_objective_of_ones_own_gives_a_margin(tmp_path: Path) -> None:
    made = trained(own_objective)
    for source in (made, file_of(made, tmp_path)):
        np.testing.assert_array_equal(asked(loaded(source), FLOWERS)["margin"], made.predict(FLOWERS))


@pytest.mark.parametrize("names", [["no", "yes"], [False, True], [3, 7], [1.0, 2.0]], ids=str)
def test_labels_are_the_classes_of_a_live_classifier(names: list[Any]) -> None:
    made = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(FLOWERS, np.array(names)[SPECIES % 2])
    model = loaded(made)
    found = asked(model, FLOWERS)
    assert found["label"].tolist() == made.predict(FLOWERS).tolist()
    np.testing.assert_array_equal(found["probabilities"], made.predict_proba(FLOWERS))
    assert model.spec.labels == {"probabilities": tuple(str(name) for name in names)}


def test_the_spec_tells_what_the_file_tells(tmp_path: Path) -> None:
    data = lightgbm.Dataset(FLOWERS, SPECIES, feature_name=["a", "b", "c", "d"])
    made = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbose": -1}, data, 2)
    found = open_model(file_of(made, tmp_path), ModelSettings())
    found.model.load("cpu")
    spec = found.model.spec
    assert (found.name, found.framework, found.digest[:7]) == ("m", "lightgbm", "sha256:")
    assert spec.inputs == (TensorSpec("input", DataType.FP64, (4,)),)
    assert spec.features == {"input": ("a", "b", "c", "d")}
    assert spec.outputs == (TensorSpec("label", DataType.INT64, ()), TensorSpec("probabilities", DataType.FP64, (3,)))
    assert not spec.concurrent and found.model.variant()["lightgbm"] == lightgbm.__version__
    assert loaded(trained()).spec.features is None, "Column_0 is no name that anybody gave"


def test_a_live_model_stops_at_its_best_iteration() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=len(FLOWERS))
    made = lightgbm.LGBMRegressor(n_estimators=30, n_jobs=1, verbose=-1)
    stop = lightgbm.early_stopping(3, verbose=False)
    made.fit(FLOWERS, noise, eval_X=FLOWERS, eval_y=-noise, callbacks=[stop])
    assert made.best_iteration_ < 30
    np.testing.assert_array_equal(asked(loaded(made), FLOWERS)["prediction"], made.predict(FLOWERS))


def test_missing_values_and_categories_that_were_never_seen(tmp_path: Path) -> None:
    frame, answer = towns()
    made = lightgbm.LGBMClassifier(n_estimators=4, min_data_per_group=5, n_jobs=1, verbose=-1).fit(frame, answer)
    strange = frame.copy()
    strange["town"] = strange["town"].cat.add_categories(["Zürich"])
    strange.loc[1, "town"] = "Zürich"
    for source in (made, file_of(made.booster_, tmp_path)):
        model = loaded(source)
        assert [(each.name, each.datatype) for each in model.spec.inputs or ()] == [
            ("size", DataType.FP64), ("town", DataType.BYTES), ("floor", DataType.FP64),
        ]  # fmt: skip
        for rows in (frame, strange):
            np.testing.assert_array_equal(asked(model, columns(rows))["probabilities"], made.predict_proba(rows))


def test_categories_that_cannot_be_told_apart_stay_codes() -> None:
    frame, answer = towns()
    made = lightgbm.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1)
    made.fit(frame.assign(floor=frame["floor"].cat.as_ordered()), answer)
    assert [each.name for each in loaded(made).spec.inputs or ()] == ["input"]


def test_categories_of_another_column_than_the_named_one_are_not_given_to_it(tmp_path: Path) -> None:
    """As many columns as categories: only the codes tell that they are not the same."""
    numbers = np.random.default_rng(0)
    table = pandas.DataFrame({"floor": numbers.integers(0, 6, 200), "town": numbers.choice(["x", "y", "z"], 200)})
    labels = (table["floor"] % 2).to_numpy()
    data = lightgbm.Dataset(table.astype({"town": "category"}), labels, categorical_feature=["floor"])
    made = lightgbm.train({"verbose": -1, "min_data_in_leaf": 5, "objective": "binary"}, data, 5)
    codes = table.assign(town=table["town"].map({"x": 0, "y": 1, "z": 2})).to_numpy(np.float64)
    with Predictor(file_of(made, tmp_path)) as predictor:
        assert [each.name for each in predictor.spec.inputs or ()] == ["input"]
        found = predictor.predict_batch(codes)["probabilities"]
    np.testing.assert_allclose(found[:, 1], made.predict(codes), rtol=1e-6)


def test_threads_change_no_answer() -> None:
    rows = np.tile(FLOWERS, (20, 1))
    one, two = (asked(loaded(trained("multiclass"), threads=number), rows) for number in (1, 2))
    np.testing.assert_array_equal(one["probabilities"], two["probabilities"])


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InvalidModel, match="is not fitted"):
        open_model(lightgbm.LGBMRegressor(), ModelSettings())
    with pytest.raises(InvalidModel, match="no model of LightGBM; expected a Booster"):
        open_model(lightgbm.Dataset(FLOWERS), ModelSettings())


def test_settings_are_honoured_or_refused(tmp_path: Path) -> None:
    for settings in ({"precision": "fp16"}, {"optimizations": ("fuse",)}, {"compile": True}):
        with pytest.raises(InferenceError, match="LightGBM"):
            open_model(trained(), ModelSettings(**settings))  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="expected cpu, got cuda"):
        loaded(trained(), device="cuda")
    with pytest.raises(UnsafeModel, match="SHA-256"):
        open_model(file_of(trained(), tmp_path), ModelSettings(sha256="0" * 64))


@pytest.mark.parametrize("linear", [False, True])
def test_damaged_files_are_refused_or_answer(tmp_path: Path, linear: bool) -> None:
    """LightGBM itself ends the process at most of them."""
    path = file_of(trained("regression", linear=linear), tmp_path)
    found = refusals(path, 150, FLOWERS[:3])
    assert len(found) > 30 and all("m.txt" in text and "\n" not in text for text in found)


def planted(text: str, name: str, value: str) -> str:
    """The file with another value in the first tree, and the size of that tree said as it is then."""
    changed = re.sub(rf"\n{name}=([^\n]*)\n", lambda _: f"\n{name}={value}\n", text, count=1)
    longer = len(changed) - len(text)
    return re.sub(r"tree_sizes=(\d+)", lambda found: f"tree_sizes={int(found[1]) + longer}", changed, count=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("left_child", "99 -1"), ("left_child", "0 -1"), ("right_child", "-2 -900"), ("split_feature", "0 7"),
     ("num_leaves", "100000000"), ("leaf_value", "1 2"), ("threshold", "1 x"), ("decision_type", "1 1"),
     ("threshold", "1 ٣"), ("left_child", "1_0 -1"), ("num_cat", "1"),
     ("is_linear", "1"), ("num_leaves", "-1"), ("split_feature", "")],
)  # fmt: skip
def test_planted_numbers_never_reach_the_library(tmp_path: Path, name: str, value: str) -> None:
    params = {"objective": "regression", "verbose": -1, "num_leaves": 3, "num_threads": 1}
    path = file_of(lightgbm.train(params, lightgbm.Dataset(FLOWERS, SPECIES), 1), tmp_path)
    path.write_text(planted(path.read_text(), name, value))
    with pytest.raises(InvalidModel, match="not a whole LightGBM model") as caught:
        loaded(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [("version=v4", "version=v9"), ("num_class=3", "num_class=2"), ("num_class:3", "num_class:9"),
     ("max_feature_idx=3", "max_feature_idx=300"), ("tree_sizes=", "tree_sizes=1 "), ("end of trees", "end"),
     ("max_feature_idx=3", "max_feature_idx=0_3"), ("max_feature_idx=3", "max_feature_idx=٣"),
     ("num_class=3", "num_class=3\nnum_class=3"), ("Tree=1", "Tree=2"), ("multiclass ", "binary ")],
)  # fmt: skip
def test_a_head_that_fits_other_trees_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = file_of(trained("multiclass"), tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InvalidModel, match="LightGBM"):
        loaded(path)


def test_other_text_is_no_model(tmp_path: Path) -> None:
    file_of(trained(), tmp_path)
    for text in ("notes\n", "", "tree\n", "{}"):
        (tmp_path / "notes.txt").write_text(text)
        with pytest.raises(InvalidModel, match="LightGBM model"):
            open_model(tmp_path / "notes.txt", ModelSettings())
    assert open_model(tmp_path, ModelSettings()).name == "m", "the folder holds one model"
