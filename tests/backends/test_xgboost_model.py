"""XGBoost: every objective answers as the library does, and a bad file is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from boosted import FLOWERS, GROUPS, SPECIES, asked, columns, refusals, towns
from live_models import loaded
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foretell import Predictor
from foretell.backends import open_model
from foretell.backends.xgboost.file import read_xgboost
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidModel, InvalidSetting, Unavailable, UnsafeModel
from foretell.model import Context
from foretell.types import DataType, TensorSpec

ROWS = FLOWERS.astype(np.float32)
WANTED = {
    "binary:logistic": "probabilities", "multi:softprob": "probabilities", "multi:softmax": "label",
    "binary:logitraw": "margin", "binary:hinge": "label", "rank:pairwise": "score", "rank:ndcg": "score",
    "reg:squarederror": "prediction", "reg:logistic": "prediction", "count:poisson": "prediction",
    "reg:gamma": "prediction", "reg:tweedie": "prediction", "survival:cox": "prediction",
    "survival:aft": "prediction", "reg:quantileerror": "prediction", "reg:absoluteerror": "prediction",
}  # fmt: skip


@cache
def trained(objective: str = "binary:logistic", booster: str = "gbtree", rounds: int = 3) -> Any:
    label = SPECIES if objective.startswith(("multi", "rank")) else SPECIES + 1.0
    data = xgboost.DMatrix(FLOWERS, SPECIES > 0 if objective.startswith(("binary", "reg:logistic")) else label)
    if objective.startswith("rank"):
        data.set_group(GROUPS)
    if objective == "survival:aft":
        data.set_float_info("label_lower_bound", label)
        data.set_float_info("label_upper_bound", label)
    more = {"num_class": 3} if objective.startswith("multi") else {}
    more |= {"quantile_alpha": [0.1, 0.5, 0.9]} if "quantile" in objective else {}
    more |= {"rate_drop": 0.5} if booster == "dart" else {}
    return xgboost.train({"objective": objective, "booster": booster, "nthread": 1, **more}, data, rounds)


@pytest.mark.parametrize("booster", ["gbtree", "dart", "gblinear"])
@pytest.mark.parametrize("objective", WANTED)
def test_a_booster_answers_as_it_predicts(objective: str, booster: str) -> None:
    if booster == "gblinear" and objective == "reg:absoluteerror":
        pytest.skip("XGBoost does not train it")
    made = trained(objective, booster)
    found = asked(loaded(made, threads=1), ROWS)
    rows = xgboost.DMatrix(ROWS)
    wanted = made.inplace_predict(ROWS) if booster != "gblinear" else made.predict(rows)
    got = found[WANTED[objective]]
    np.testing.assert_array_equal(got[:, 1] if objective == "binary:logistic" else got, wanted)
    np.testing.assert_allclose(made.predict(rows), wanted, rtol=1e-6)


def test_softmax_gives_the_probabilities_of_softprob() -> None:
    found, other = (asked(loaded(trained(name)), ROWS) for name in ("multi:softmax", "multi:softprob"))
    np.testing.assert_allclose(found["probabilities"], other["probabilities"], rtol=1e-6)
    assert found["label"].tolist() == other["label"].tolist()


def test_the_spec_tells_what_the_file_tells(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    made = xgboost.train({"objective": "multi:softprob", "num_class": 3},
                         xgboost.DMatrix(FLOWERS, SPECIES, feature_names=names), 2)  # fmt: skip
    made.save_model(tmp_path / "m.json")
    found = open_model(tmp_path / "m.json", ModelSettings())
    found.model.load("cpu")
    spec = found.model.spec
    assert (found.name, found.framework, found.digest[:7]) == ("m", "xgboost", "sha256:")
    assert spec.inputs == (TensorSpec("input", DataType.FP32, (4,)),) and spec.features == {"input": tuple(names)}
    assert spec.outputs == (TensorSpec("label", DataType.INT64, ()), TensorSpec("probabilities", DataType.FP32, (3,)))
    assert spec.labels == {"probabilities": ("0", "1", "2")} and spec.concurrent and spec.row_wise
    assert found.model.variant()["xgboost"] == xgboost.__version__


def test_an_estimator_stops_at_its_best_iteration_and_a_booster_does_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2, len(FLOWERS))
    made = xgboost.XGBClassifier(n_estimators=30, early_stopping_rounds=3, n_jobs=1)
    made.fit(FLOWERS, noise, eval_set=[(FLOWERS, 1 - noise)], verbose=False)
    assert made.best_iteration < 29
    made.save_model(tmp_path / "estimator.ubj")
    wanted = made.predict_proba(ROWS)
    for source in (made, tmp_path / "estimator.ubj"):
        np.testing.assert_array_equal(asked(loaded(source), ROWS)["probabilities"], wanted)
    all_of_it = asked(loaded(made.get_booster()), ROWS)["probabilities"][:, 1]
    np.testing.assert_array_equal(all_of_it, made.get_booster().inplace_predict(ROWS))


def test_the_value_that_means_missing_is_the_estimators() -> None:
    rows = ROWS.copy()
    rows[::3, 1] = -1
    made = xgboost.XGBRegressor(n_estimators=3, missing=-1, n_jobs=1).fit(rows, SPECIES)
    np.testing.assert_array_equal(asked(loaded(made), rows)["prediction"], made.predict(rows))


def test_several_labels_are_one_yes_or_no_each() -> None:
    targets = np.stack([SPECIES > 0, SPECIES > 1], axis=1).astype(int)
    made = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(FLOWERS, targets)
    found = asked(loaded(made), ROWS)
    np.testing.assert_array_equal(found["label"], made.predict(ROWS))
    np.testing.assert_array_equal(found["probabilities"], made.predict_proba(ROWS))


def test_a_ranker_scores() -> None:
    made = xgboost.XGBRanker(n_estimators=3, n_jobs=1).fit(FLOWERS, SPECIES, group=GROUPS)
    np.testing.assert_array_equal(asked(loaded(made), ROWS)["score"], made.predict(ROWS))


def test_a_category_that_was_never_seen_ends_its_row_alone() -> None:
    frame, answer = towns()
    made = xgboost.XGBClassifier(n_estimators=3, enable_categorical=True, n_jobs=1).fit(frame, answer)
    model = loaded(made)
    assert [(each.name, each.datatype) for each in model.spec.inputs or ()] == [
        ("size", DataType.FP32), ("town", DataType.BYTES), ("floor", DataType.FP32),
    ]  # fmt: skip
    np.testing.assert_array_equal(asked(model, columns(frame, np.float32))["probabilities"], made.predict_proba(frame))
    strange = frame[:4].assign(town=["York", "Zürich", None, "Ely"])
    done = model.predict(columns(strange, np.float32), Context())
    assert list(done.errors) == [1] and "has not seen the category 'Zürich'" in done.errors[1].message


def test_names_of_categories_that_xgboost_has_cut_in_wrong_places_are_refused() -> None:
    """Until 3.4 it counts letters where it should count bytes: of Bé, x, y it keeps B, é and x."""
    frame = pd.DataFrame({"town": pd.Categorical(np.array(["Bé", "x", "y"])[SPECIES])})
    made = xgboost.XGBClassifier(n_estimators=1, enable_categorical=True, n_jobs=1).fit(frame, SPECIES)
    told = json.loads(made.get_booster().save_raw("json"))
    for version in ([3, 1, 0], [3, 2, 0]):
        with pytest.raises(InvalidModel, match="the categories of 'town' in wrong places"):
            read_xgboost(json.dumps(told | {"version": version}).encode(), "m.json")
    assert read_xgboost(json.dumps(told | {"version": [3, 4, 0]}).encode(), "m.json").categories


def test_threads_change_no_answer() -> None:
    rows = np.tile(ROWS, (40, 1))
    for booster in ("gbtree", "gblinear"):
        made = trained("multi:softprob", booster)
        one, four = (asked(loaded(made, threads=number), rows) for number in (1, 4))
        np.testing.assert_array_equal(one["probabilities"], four["probabilities"])


def test_eight_threads_share_a_model() -> None:
    model = loaded(trained("multi:softprob"))
    wanted = asked(model, ROWS)["probabilities"]

    def caller(number: int) -> bool:
        rows = np.arange(number, 150, 8)
        return all(np.array_equal(asked(model, ROWS[rows])["probabilities"], wanted[rows]) for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(caller, range(8)))


def test_what_becomes_of_the_live_object_does_not_change_the_model() -> None:
    made = trained("reg:squarederror").copy()
    model = loaded(made)
    before = asked(model, ROWS)["prediction"]
    made.load_model(trained("reg:squarederror", rounds=1).save_raw("ubj"))
    np.testing.assert_array_equal(asked(model, ROWS)["prediction"], before)


def test_a_pipeline_that_ends_in_one_stays_scikit_learns() -> None:
    made = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=2, n_jobs=1)).fit(FLOWERS, SPECIES)
    assert open_model(made, ModelSettings()).framework == "scikit-learn"


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InvalidModel, match="is not fitted"):
        open_model(xgboost.XGBClassifier(), ModelSettings())
    with pytest.raises(InvalidModel, match="no model of XGBoost; expected a Booster"):
        open_model(xgboost.DMatrix(FLOWERS), ModelSettings())


def test_settings_are_honoured_or_refused() -> None:
    made = trained()
    for settings in ({"precision": "fp16"}, {"optimizations": ("fuse",)}, {"compile": True}):
        with pytest.raises(InferenceError, match="XGBoost"):
            open_model(made, ModelSettings(**settings))  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="sha256"):
        open_model(made, ModelSettings(sha256="0" * 64))
    with pytest.raises(Unavailable, match="expected cpu, got cuda"):
        loaded(made, device="cuda")


def saved(made: Any, path: Path) -> bytes:
    made.save_model(path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".ubj", ".json"])
def test_damaged_files_are_refused_or_answer(tmp_path: Path, suffix: str) -> None:
    """XGBoost itself ends the process at many of them."""
    saved(trained("multi:softprob"), tmp_path / f"m{suffix}")
    found = refusals(tmp_path / f"m{suffix}", 150, ROWS[:3])
    assert len(found) > 50 and all(f"m{suffix}" in text and "\n" not in text for text in found)


def learner(change: Callable[[Any], Any]) -> Callable[[Any], None]:
    return lambda found: change(found["learner"])


def tree(change: Callable[[Any], Any]) -> Callable[[Any], None]:
    return lambda found: change(found["learner"]["gradient_booster"]["model"]["trees"][0])


@pytest.mark.parametrize(
    "plant",
    [
        tree(lambda t: t["left_children"].__setitem__(0, 10**6)),
        tree(lambda t: t["left_children"].__setitem__(1, 0)),
        tree(lambda t: t["right_children"].__setitem__(0, t["left_children"][0])),
        tree(lambda t: t["split_indices"].__setitem__(0, 99)),
        tree(lambda t: t["parents"].__setitem__(1, 77)),
        tree(lambda t: t["split_conditions"].pop()),
        tree(lambda t: t["base_weights"].append(0.5)),
        tree(lambda t: t.update(id=5)),
        tree(lambda t: t["tree_param"].update(num_nodes="100000000")),
        tree(lambda t: t["tree_param"].update(num_nodes=t["tree_param"]["num_nodes"] + "_0")),
        tree(lambda t: (t["split_type"].__setitem__(0, 1), t["categories_nodes"].append(0),
                        t["categories_segments"].append(0), t["categories_sizes"].append(2**31 - 1))),
        learner(lambda f: f["learner_model_param"].update(num_feature="999999999999")),
        learner(lambda f: f["learner_model_param"].update(num_class="0")),
        learner(lambda f: f["learner_model_param"].update(base_score="[1,2]")),
        learner(lambda f: f["gradient_booster"]["model"]["tree_info"].__setitem__(0, 7)),
        learner(lambda f: f["gradient_booster"]["model"].update(iteration_indptr=[0, 99, 9])),
        learner(lambda f: f["objective"]["softmax_multiclass_param"].update(num_class="0")),
        learner(lambda f: f["objective"].update(name="no:such")),
        learner(lambda f: f["gradient_booster"].update(name="no such")),
    ],
)  # fmt: skip
def test_planted_numbers_never_reach_the_library(tmp_path: Path, plant: Callable[[Any], None]) -> None:
    found = json.loads(saved(trained("multi:softprob"), tmp_path / "m.json"))
    plant(found)
    (tmp_path / "m.json").write_text(json.dumps(found))
    with pytest.raises(InvalidModel) as caught:
        loaded(tmp_path / "m.json")
    assert "\n" not in str(caught.value)


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Two readers may take different ones."""
    text = saved(trained(), tmp_path / "m.json").decode()
    (tmp_path / "m.json").write_text(text.replace('"learner":', '"learner":{},"learner":', 1))
    with pytest.raises(InvalidModel, match="a name stands twice"):
        loaded(tmp_path / "m.json")


def test_the_binary_form_of_old_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.ubj").write_bytes(b"binf\x00\x00\x00\xbf\x04\x00\x00\x00")
    with pytest.raises(InvalidModel, match=r"load it in XGBoost 3\.0 or older"):
        open_model(tmp_path / "old.ubj", ModelSettings())


def test_a_newer_file_names_both_versions(tmp_path: Path) -> None:
    found = json.loads(saved(trained(), tmp_path / "m.json"))
    found["version"] = [9, 1, 0]
    (tmp_path / "m.json").write_text(json.dumps(found))
    with pytest.raises(InvalidModel, match=rf"made with XGBoost 9\.1\.0, newer than XGBoost {xgboost.__version__}"):
        loaded(tmp_path / "m.json")


def test_other_json_is_no_model(tmp_path: Path) -> None:
    saved(trained(), tmp_path / "m.json")
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert open_model(tmp_path, ModelSettings()).name == "m", "the folder holds one model"
    for text in ('{"a": 1}', "[]", "[" * 100_000, '{"learner": 3}', "", "\x80\x04."):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(InvalidModel, match="XGBoost model"):
            open_model(tmp_path / "config.json", ModelSettings())


def test_a_digest_that_is_given_has_to_match(tmp_path: Path) -> None:
    saved(trained(), tmp_path / "m.ubj")
    with pytest.raises(UnsafeModel, match="SHA-256"):
        open_model(tmp_path / "m.ubj", ModelSettings(sha256="0" * 64))


def test_no_rows_and_a_closed_model() -> None:
    model = loaded(trained())
    assert model.predict(Batch.of(input=ROWS[:0]), Context()).rows == 0
    model.close()
    with pytest.raises(InferenceError, match="closed"):
        asked(model, ROWS)


def test_it_answers_from_a_process_of_its_own(tmp_path: Path) -> None:
    saved(trained("multi:softprob"), tmp_path / "m.ubj")
    with Predictor(tmp_path / "m.ubj", executor="process") as predictor:
        found = predictor.predict(ROWS[:5])
    np.testing.assert_array_equal(found["probabilities"], trained("multi:softprob").inplace_predict(ROWS[:5]))


def test_a_class_of_ones_own_answers_as_it_was_written() -> None:
    class Upside(xgboost.XGBRegressor):
        def predict(self, X: Any, **options: Any) -> Any:
            return -super().predict(X, **options)

    made = Upside(n_estimators=2, n_jobs=1).fit(FLOWERS, SPECIES)
    found = open_model(made, ModelSettings())
    assert found.framework == "scikit-learn"
    found.model.load("cpu")
    np.testing.assert_allclose(asked(found.model, FLOWERS)["prediction"], made.predict(FLOWERS), rtol=1e-6)
