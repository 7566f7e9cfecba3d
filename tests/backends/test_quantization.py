"""Quantization where it is faster: measured once for a kind of machine, obeyed by every process after that."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx_build import build, iris_onnx, save, value

from foretell import InvalidInput, Predictor
from foretell.backends.cpu import cpu_precisions
from foretell.backends.trial_file import decided
from foretell.types import Trial

pytestmark = pytest.mark.skipif("int8" not in cpu_precisions(), reason="this processor has no int8")
WEIGHTS = np.random.default_rng(5).normal(size=(64, 128)).astype(np.float32)
ROWS = np.random.default_rng(6).normal(size=(10, 64)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return save(build([node], [value("x", ["N", 64])], [value("y", ["N", 128])], weights={"w": WEIGHTS}), tmp_path)


@pytest.fixture
def kept_in(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def tried(path: Path, kept_in: Path, **options: Any) -> Predictor:
    return Predictor(path, optimizations=["quantization"], cache_dir=str(kept_in), **options)


def remembered(kept_in: Path) -> Path:
    (file,) = (kept_in / "trials").glob("*.json")
    return file


def decide(kept_in: Path, *, kept: bool) -> None:
    file = remembered(kept_in)
    note = json.loads(file.read_text())
    file.write_text(json.dumps({**note, "trial": {**note["trial"], "kept": kept}}))


def test_what_was_measured_is_told(path: Path, kept_in: Path) -> None:
    with tried(path, kept_in) as predictor:
        stats = predictor.stats()
        (trial,) = stats["trials"]
        assert trial["name"] == "quantization"
        assert min(trial[name] for name in ("before_ms", "after_ms", "batch_before_ms", "batch_after_ms")) > 0
        assert trial["batch_rows"] == 32
        assert 0 < trial["difference"] < 1
        assert ("quantization" in stats["optimizations"]) == trial["kept"]
        assert {"graph_optimization", "kernel_fusion"} <= set(stats["optimizations"])
        assert json.loads(remembered(kept_in).read_text())["trial"] == trial


def test_an_example_is_what_it_is_measured_on(path: Path, tmp_path: Path) -> None:
    differences = []
    for name, scale in (("small", 1e-3), ("large", 1e3)):
        with tried(path, tmp_path / name, example=(ROWS * scale).tolist()) as predictor:
            differences.append(predictor.stats()["trials"][0]["difference"])
    assert differences[1] > 1e5 * differences[0] > 0
    with pytest.raises(InvalidInput):
        tried(path, tmp_path / "wrong", example=[[1.0, 2.0]])


def test_an_example_may_have_rows_of_different_length(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    tokens = build(
        [node], [value("x", ["N", "L", 64])], [value("y", ["N", "L", 128])], weights={"w": WEIGHTS}, ir_version=9
    )
    example = {"x": [ROWS[:4].tolist(), ROWS[:7].tolist()]}
    with tried(save(tokens, tmp_path), tmp_path, example=example, pad={"x": 0}) as predictor:
        (trial,) = predictor.stats()["trials"]
        assert trial["before_ms"] > 0
        assert trial["batch_rows"] is None


def test_every_later_process_does_as_the_first_one(path: Path, kept_in: Path) -> None:
    tried(path, kept_in).close()
    with Predictor(path) as plain, Predictor(path, precision="int8") as fast:
        slow_answer, fast_answer = plain.predict(ROWS)["y"], fast.predict(ROWS)["y"]
        plain_variant = plain.identity.variant_digest
    decide(kept_in, kept=True)
    with tried(path, kept_in) as predictor:
        np.testing.assert_array_equal(predictor.predict(ROWS)["y"], fast_answer)
        assert predictor.engine.model.variant()["passes"].endswith(",quantization")
        assert predictor.engine.model.variant()["precision"] == "int8"
        assert predictor.identity.variant_digest != plain_variant
    decide(kept_in, kept=False)
    with tried(path, kept_in) as predictor:
        np.testing.assert_array_equal(predictor.predict(ROWS)["y"], slow_answer)
        assert predictor.identity.variant_digest == plain_variant
        assert predictor.stats()["trials"][0]["kept"] is False


def test_a_process_of_its_own_tells_it_too(path: Path, kept_in: Path) -> None:
    tried(path, kept_in).close()
    decide(kept_in, kept=True)
    with tried(path, kept_in, executor="process") as predictor:
        assert predictor.stats()["trials"][0]["kept"]
        assert predictor.engine.model.variant()["precision"] == "int8"


def test_nothing_is_kept_that_others_could_not_know_of(path: Path, tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.write_text("")
    with tried(path, occupied) as predictor:
        (trial,) = predictor.stats()["trials"]
        assert not trial["kept"]
        assert "cannot be kept" in trial["reason"]
        assert predictor.engine.model.variant()["precision"] == "fp32"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"trial": {"kept": 1}}', '{"trial": {"name": 5}}'])
def test_a_note_that_cannot_be_read_is_written_anew(path: Path, kept_in: Path, text: str) -> None:
    tried(path, kept_in).close()
    remembered(kept_in).write_text(text)
    with tried(path, kept_in) as predictor:
        assert predictor.stats()["trials"][0]["before_ms"] > 0
    assert json.loads(remembered(kept_in).read_text())["trial"]["name"] == "quantization"


def test_a_model_without_products_runs_as_it_is(tmp_path: Path, kept_in: Path) -> None:
    with tried(save(iris_onnx(zipmap=False), tmp_path, "iris.onnx"), kept_in) as predictor:
        (trial,) = predictor.stats()["trials"]
        assert (trial["kept"], trial["before_ms"]) == (False, None)
        assert "nothing in it to quantize" in trial["reason"]
        assert predictor.optimizations == ("graph_optimization", "kernel_fusion")


def test_of_many_at_a_time_one_measures(tmp_path: Path) -> None:
    measured, lock = [], threading.Lock()
    together = threading.Barrier(8)

    def measure() -> Trial:
        with lock:
            measured.append(1)
        return Trial("quantization", True, f"measurement {len(measured)}")

    def one(_: int) -> Trial:
        together.wait()
        return decided(str(tmp_path), "quantization of a model", measure)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(8)))
    assert measured == [1]
    assert set(found) == {Trial("quantization", True, "measurement 1")}


def test_a_measurement_that_fails_is_not_remembered(tmp_path: Path) -> None:
    def fail() -> Trial:
        raise MemoryError("no room")

    with pytest.raises(MemoryError):
        decided(str(tmp_path), "quantization of a model", fail)
    again = decided(str(tmp_path), "quantization of a model", lambda: Trial("quantization", False, "measured"))
    assert again.reason == "measured"
    assert sorted(each.suffix for each in (tmp_path / "trials").iterdir()) == [".json", ".lock"]


def test_a_sentence_for_people() -> None:
    trial = Trial("quantization", True, "it is faster here", 8.0, 3.51, 32, 120.0, 66.0, 0.0123)
    assert trial.describe() == (
        "quantization is kept: it is faster here, one row 8 -> 3.51 ms, 32 rows 120 -> 66 ms, "
        "answers differ by 0.012 at most"
    )
    assert Trial("quantization", False, "no reason").describe() == "quantization is not kept: no reason"
