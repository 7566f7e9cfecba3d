"""CatBoost: every loss answers as the library does, and a bad file is one sentence."""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas
import polars
import pyarrow
import pytest
from boosted import FLOWERS, SPECIES, asked, refusals, text_columns, towns
from live_models import loaded

from foretell import Predictor, stream
from foretell.backends import open_model
from foretell.backends.catboost.flat import Table
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidModel, Unavailable, UnsafeModel
from foretell.types import DataType, TensorSpec

ROWS = FLOWERS.astype(np.float32)
QUIET: dict[str, Any] = {"iterations": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
CLASSIFIERS = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "MultiLogloss")
REGRESSORS = ("RMSE", "Poisson", "Tweedie:variance_power=1.5", "Quantile", "Cox", "RMSEWithUncertainty", "MultiRMSE",
              "MultiQuantile:alpha=0.1,0.5,0.9")  # fmt: skip


@cache
def trained(loss: str = "Logloss", policy: str = "SymmetricTree") -> Any:
    kind = catboost.CatBoostClassifier if loss in CLASSIFIERS else catboost.CatBoostRegressor
    target: Any = SPECIES
    if loss in ("Logloss", "CrossEntropy"):
        target = (SPECIES > 0).astype(float)
    elif loss.startswith(("MultiLogloss", "MultiRMSE")):
        target = np.stack([SPECIES > 0, SPECIES > 1], axis=1).astype(int)
    return kind(loss_function=loss, grow_policy=policy, **QUIET).fit(FLOWERS, target)


@cache
def of_towns() -> Any:
    frame, answer = towns()
    texts = frame.dropna().astype({"town": str, "floor": str})
    return catboost.CatBoostClassifier(cat_features=["town", "floor"], **QUIET).fit(texts, answer[texts.index])


def file_of(made: Any, folder: Path) -> Path:
    made.save_model(str(folder / "m.cbm"))
    return folder / "m.cbm"


@pytest.mark.parametrize("policy", ["SymmetricTree", "Lossguide", "Depthwise"])
@pytest.mark.parametrize("loss", [*CLASSIFIERS, *REGRESSORS])
def test_a_model_and_its_file_answer_as_it_predicts(loss: str, policy: str, tmp_path: Path) -> None:
    made = trained(loss, policy)
    for source in (made, file_of(made, tmp_path)):
        found = asked(loaded(source), ROWS)
        name = "label" if loss in CLASSIFIERS else "prediction"
        np.testing.assert_array_equal(found[name], made.predict(ROWS).reshape(found[name].shape))
        if loss in CLASSIFIERS:
            np.testing.assert_array_equal(found["probabilities"], made.predict_proba(ROWS))


def test_a_ranker_scores() -> None:
    made = catboost.CatBoostRanker(loss_function="PairLogit", bootstrap_type="No", **QUIET)
    made.fit(FLOWERS, SPECIES, group_id=np.arange(150) // 50)
    np.testing.assert_array_equal(asked(loaded(made), ROWS)["score"], made.predict(ROWS))


@pytest.mark.parametrize("names", [["no", "yes"], [3, 7]], ids=str)
def test_labels_are_the_classes_that_the_file_tells(names: list[Any], tmp_path: Path) -> None:
    made = catboost.CatBoostClassifier(**QUIET).fit(FLOWERS, np.array(names)[SPECIES % 2])
    model = loaded(file_of(made, tmp_path))
    assert asked(model, ROWS)["label"].tolist() == made.predict(ROWS).tolist()
    assert model.spec.labels == {"probabilities": tuple(str(name) for name in names)}


def test_a_threshold_of_the_probability_decides_the_label(tmp_path: Path) -> None:
    made = catboost.CatBoostClassifier(**QUIET).fit(FLOWERS, SPECIES > 0)
    made.set_probability_threshold(float(np.median(made.predict_proba(ROWS)[:, 1])))
    for source in (made, file_of(made, tmp_path)):
        labels = asked(loaded(source), ROWS)["label"]
        assert [str(each) for each in labels] == [str(each) for each in made.predict(ROWS)]


def test_the_spec_tells_what_the_file_tells(tmp_path: Path) -> None:
    found = open_model(file_of(trained("MultiClass"), tmp_path), ModelSettings())
    found.model.load("cpu")
    spec = found.model.spec
    assert (found.name, found.framework, found.digest[:7]) == ("m", "catboost", "sha256:")
    assert spec.inputs == (TensorSpec("input", DataType.FP32, (4,)),) and spec.features is None
    assert spec.outputs == (TensorSpec("label", DataType.INT64, ()), TensorSpec("probabilities", DataType.FP64, (3,)))
    assert not spec.concurrent and found.model.variant()["catboost"] == catboost.__version__


def test_categories_are_texts_and_new_ones_are_answered(tmp_path: Path) -> None:
    frame, _ = towns()
    rows = frame.dropna().astype({"town": str, "floor": str})
    rows.iloc[2, 1] = "Zürich"
    for source in (of_towns(), file_of(of_towns(), tmp_path)):
        model = loaded(source)
        assert [(each.name, each.datatype) for each in model.spec.inputs or ()] == [
            ("size", DataType.FP32), ("town", DataType.BYTES), ("floor", DataType.BYTES),
        ]  # fmt: skip
        found = asked(model, text_columns(rows))
        np.testing.assert_array_equal(found["probabilities"], of_towns().predict_proba(rows))


def test_categories_that_are_whole_numbers_may_stay_so_in_every_table(tmp_path: Path) -> None:
    rows = towns()[0].dropna().astype({"town": str, "floor": int})[:20].reset_index(drop=True)
    wanted, path = of_towns().predict_proba(rows), file_of(of_towns(), tmp_path)
    with Predictor(path) as predictor:
        for data in (rows, polars.from_pandas(rows), pyarrow.Table.from_pandas(rows), rows.to_dict("list")):
            found = predictor.predict(data)["probabilities"]
            listed = found.to_pylist() if isinstance(found, pyarrow.ChunkedArray) else found
            np.testing.assert_array_equal([list(row) for row in listed], wanted)
    rows.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    stream(path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl", once=True)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    np.testing.assert_array_equal([json.loads(line)["probabilities"] for line in lines], wanted)


def test_categories_that_are_booleans_are_taken_as_the_library_has_them() -> None:
    rows = pandas.DataFrame({"size": np.arange(12.0) % 5, "garden": [True, False, False] * 4})
    made = catboost.CatBoostClassifier(**QUIET).fit(rows, rows["garden"].astype(int), cat_features=["garden"])
    with Predictor(made) as predictor:
        for data in (rows, polars.from_pandas(rows), rows.to_dict("list")):
            assert list(predictor.predict(data)["label"]) == made.predict(rows).tolist() == [1, 0, 0] * 4


def test_features_of_text_are_refused() -> None:
    frame = towns()[0].dropna().assign(note="good film")
    frame.loc[::2, "note"] = "bad film"
    made = catboost.CatBoostClassifier(text_features=["note"], **QUIET)
    made.fit(frame[["size", "note"]], np.arange(len(frame)) % 2)
    with pytest.raises(InvalidModel, match="features of text and embeddings are not served"):
        open_model(made, ModelSettings())


def test_threads_change_no_answer() -> None:
    rows = np.tile(ROWS, (20, 1))
    one, two = (asked(loaded(trained("MultiClass"), threads=number), rows) for number in (1, 2))
    np.testing.assert_array_equal(one["probabilities"], two["probabilities"])


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InvalidModel, match="is not fitted"):
        open_model(catboost.CatBoostClassifier(), ModelSettings())
    with pytest.raises(InvalidModel, match="no model of CatBoost; expected a fitted CatBoostClassifier"):
        open_model(catboost.Pool(FLOWERS), ModelSettings())


def test_settings_are_honoured_or_refused(tmp_path: Path) -> None:
    for settings in ({"precision": "fp16"}, {"optimizations": ("fuse",)}, {"compile": True}):
        with pytest.raises(InferenceError, match="CatBoost"):
            open_model(trained(), ModelSettings(**settings))  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="expected cpu, got cuda"):
        loaded(trained(), device="cuda")
    with pytest.raises(UnsafeModel, match="SHA-256"):
        open_model(file_of(trained(), tmp_path), ModelSettings(sha256="0" * 64))


@pytest.mark.parametrize("policy", ["SymmetricTree", "Lossguide"])
def test_damaged_files_are_refused_or_answer(tmp_path: Path, policy: str) -> None:
    """CatBoost itself ends the process at some of them."""
    found = refusals(file_of(trained("MultiClass", policy), tmp_path), 150, ROWS[:3])
    assert len(found) > 50 and all("m.cbm" in text and "\n" not in text for text in found)


def table_bytes(data: bytes) -> int:
    """Of the hashes of the first table after the trees."""
    (size,) = struct.unpack_from("<I", data, 4)
    return len(Table(data[8 + size + 8 :]).array(1, np.uint8))


def planted(data: bytes, field: int, values: Any, *, of: int | None = None) -> bytes:
    """The file with `values` at the start of an array of its trees, or of the first table after them."""
    changed = bytearray(data)
    (size,) = struct.unpack_from("<I", data, 4)
    start = 8 if of is None else 8 + size + 8
    table = Table(data[8 : 8 + size]).table(1) if of is None else Table(data[start:])
    at, _ = table._vector(field, 1)
    raw = np.asarray(values).tobytes()
    changed[start + at : start + at + len(raw)] = raw
    return bytes(changed)


@pytest.mark.parametrize(
    ("policy", "field", "values"),
    [("SymmetricTree", 1, np.int32([10**6])), ("SymmetricTree", 1, np.int32([-1])),
     ("SymmetricTree", 2, np.int32([30])), ("SymmetricTree", 3, np.int32([0, 99])),
     ("SymmetricTree", 17, np.uint16([60_000])), ("Lossguide", 10, np.uint16([60_000, 1])),
     ("Lossguide", 11, np.uint32([10**6])), ("Lossguide", 1, np.int32([10**6]))],
)  # fmt: skip
def test_planted_numbers_never_reach_the_library(tmp_path: Path, policy: str, field: int, values: Any) -> None:
    path = file_of(trained("MultiClass", policy), tmp_path)
    data = path.read_bytes()
    if field == 11:  # whatever the first nodes are, they become leaves that are not there
        data = planted(data, 10, np.uint16([0, 0]))
    path.write_bytes(planted(data, field, values))
    with pytest.raises(InvalidModel, match="not a whole CatBoost model") as caught:
        loaded(path)
    assert "\n" not in str(caught.value)


def test_planted_tables_of_categories_never_reach_the_library(tmp_path: Path) -> None:
    path = file_of(of_towns(), tmp_path)
    data = path.read_bytes()
    nowhere, no_end = np.full(3, 10**6, np.uint32), np.zeros(table_bytes(data), np.uint8)
    for values in (nowhere, no_end):
        path.write_bytes(planted(data, 1, values, of=0))
        with pytest.raises(InvalidModel, match="not a whole CatBoost model"):
            loaded(path)


def test_what_is_another_file_says_so(tmp_path: Path) -> None:
    for data in (b"", b"CBM1", b"CBM1\xff\xff\xff\xff", b"\x80\x04.", b"{}"):
        (tmp_path / "m.cbm").write_bytes(data)
        with pytest.raises(InvalidModel, match="CatBoost model"):
            open_model(tmp_path / "m.cbm", ModelSettings())
