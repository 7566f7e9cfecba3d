"""Functions of jax.export: names, types, calls that are filled up, and files that hold something else."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax_models as made
import numpy as np
import pytest
from live_models import loaded

from foretell.backends import open_model
from foretell.backends.artefact_bytes import digest_of
from foretell.backends.jax import program
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidInput, InvalidModel, InvalidSetting, Unavailable, UnsafeModel
from foretell.model import Context
from foretell.types import DataType, TensorSpec

X = np.arange(28, dtype=np.float32).reshape(7, 4)
ROWS = (("b", 4), np.float32)


def asked(model: Any, **columns: Any) -> dict[str, Any]:
    found = model.predict(Batch.of(**columns), Context())
    return {name: found.dense(name) for name in found.columns}


def names(data: bytes, folder: Path) -> tuple[list[str], list[str]]:
    spec = loaded(made.file_of(data, folder)).spec
    return [each.name for each in spec.inputs or ()], [each.name for each in spec.outputs or ()]


def test_the_spec_tells_what_the_file_tells(tmp_path: Path) -> None:
    path = made.file_of(made.linear(), tmp_path)
    found = open_model(path, ModelSettings())
    found.model.load("cpu")
    spec = found.model.spec
    assert (found.name, found.framework, found.digest) == ("f", "jax", digest_of(path))
    assert spec.inputs == (TensorSpec("x0", DataType.FP32, (4,)),)
    assert spec.outputs == (TensorSpec("scores", DataType.FP32, (3,)),)
    assert (spec.batch, spec.row_wise, spec.concurrent) == ("any", True, True)
    assert found.model.variant()["jax"] == jax.__version__
    assert loaded(made.file_of(made.linear(3, 4), tmp_path)).spec.batch == 3


def test_dicts_and_keywords_keep_their_names(tmp_path: Path) -> None:
    add = made.exported(lambda a, b: a + b, ROWS, ROWS)
    assert names(add, tmp_path) == (["x0", "x1"], ["output"])
    pair = made.exported(lambda a, *, scale: (a, a * scale), ROWS, scale=ROWS)
    assert names(pair, tmp_path) == (["x0", "scale"], ["output_0", "output_1"])
    nested = made.exported(lambda p, q: {"s": [p["a"], q]}, {"a": ROWS}, ROWS)
    assert names(nested, tmp_path) == (["x0.a", "x1"], ["s.0", "s.1"])
    only = made.exported(lambda p: p["b"][0] + p["a"], {"a": ROWS, "b": [ROWS]})
    assert names(only, tmp_path) == (["a", "b.0"], ["output"])


@pytest.mark.parametrize("kind", ["float64", "int64", "int8", "uint32", "bool", "float16"])
def test_types_are_kept(kind: str, tmp_path: Path) -> None:
    model = loaded(made.file_of(made.exported(lambda x: x[:, ::-1], (("b", 4), kind)), tmp_path))
    rows = (X.astype(np.int64) % 100).astype(kind)
    (answer,) = asked(model, x0=rows).values()
    assert answer.dtype == rows.dtype and np.array_equal(answer, rows[:, ::-1])


def test_bf16_travels_as_its_bits(tmp_path: Path) -> None:
    model = loaded(made.file_of(made.exported(lambda x: x * 2, (("b", 2), "bfloat16")), tmp_path))
    assert model.spec.inputs == (TensorSpec("x0", DataType.BF16, (2,)),)
    ones = np.full((3, 2), 0x3F80, np.uint16)
    assert (asked(model, x0=ones)["output"] == 0x4000).all()


def test_calls_are_filled_up_only_where_no_row_depends_on_another(tmp_path: Path) -> None:
    model = loaded(made.file_of(made.linear(), tmp_path))
    for rows in range(1, 8):
        np.testing.assert_allclose(asked(model, x0=X[:rows])["scores"], X[:rows] @ made.WEIGHTS, rtol=1e-6)
    mixing = loaded(made.file_of(made.exported(lambda x: x - x.mean(axis=0), ROWS), tmp_path))
    assert not mixing.spec.row_wise
    np.testing.assert_allclose(asked(mixing, x0=X[:5])["output"], X[:5] - X[:5].mean(axis=0), atol=1e-5)


def test_answers_that_are_not_one_for_each_row_make_a_whole_tensor_one_row(tmp_path: Path) -> None:
    for name, function in {
        "turned": lambda x: x.T, "twice": lambda x: [x, x[:1]], "pairs": lambda x: x @ x.T,
        "halves": lambda x: x.reshape(-1, 2, 4).sum(axis=1),
    }.items():  # fmt: skip
        rows = (("2*b" if name == "halves" else "b", 4), np.float32)
        (tmp_path / name).mkdir()
        model = loaded(made.file_of(made.exported(function, rows), tmp_path / name))
        assert model.spec.batch is None
        assert model.spec.inputs == (TensorSpec("x0", DataType.FP32, (None, 4)),)
        answer = asked(model, x0=X[None, :6])
        expected = function(X[:6])
        for found, want in zip(answer.values(), expected if name == "twice" else [expected], strict=True):
            np.testing.assert_allclose(found[0], want, rtol=1e-6)


def test_a_function_of_eight_rows_at_a_time_is_filled_up(tmp_path: Path) -> None:
    model = loaded(made.file_of(made.exported(lambda x: x * 2, (("8*b", 4), np.float32)), tmp_path))
    assert model.spec.batch == 8
    np.testing.assert_array_equal(asked(model, x0=X[:3])["output"], X[:3] * 2)


@pytest.mark.parametrize("bound", ["b <= 3", "6>=2*b"])
def test_calls_are_cut_to_the_most_rows_that_a_function_was_exported_for(tmp_path: Path, bound: str) -> None:
    doubled = made.exported(lambda x, y: (x * 2, y), ROWS, ROWS, where=(bound,))
    model = loaded(made.file_of(doubled, tmp_path))
    assert (model.spec.batch, model.spec.row_wise) == ("any", True)
    for rows in (1, 3, 4, 7):
        answer = asked(model, x0=X[:rows], x1=-X[:rows])
        np.testing.assert_array_equal(answer["output_0"], X[:rows] * 2)
        np.testing.assert_array_equal(answer["output_1"], -X[:rows])
    mixing = loaded(made.file_of(made.exported(lambda x: x - x.mean(axis=0), ROWS, where=(bound,)), tmp_path))
    assert asked(mixing, x0=X[:3])["output"].shape == (3, 4)
    with pytest.raises(
        InvalidInput, match=f"the function was not exported for these sizes; expected {re.escape(bound)}$"
    ):
        asked(mixing, x0=X[:4])


def test_a_dependence_that_zeros_do_not_show_is_seen(tmp_path: Path) -> None:
    functions = [
        lambda x: jax.lax.cond(x.sum() > 0, lambda v: v * 2, lambda v: -v, x),
        lambda x: x + jax.nn.relu(x - 5).max(axis=0),
        lambda x: x + jax.numpy.arange(x.shape[0])[:, None],
    ]
    for function in functions:
        assert not loaded(made.file_of(made.exported(function, ROWS), tmp_path)).spec.row_wise
    fixed = made.exported(lambda x: x - x.mean(axis=0), ((3, 4), np.float32))
    assert loaded(made.file_of(fixed, tmp_path)).spec.batch is None


def test_nothing_to_answer_is_refused(tmp_path: Path) -> None:
    for data in (made.exported(lambda: np.float32(1)), made.exported(lambda x: (), ROWS)):
        with pytest.raises(InvalidModel, match="has nothing to answer"):
            loaded(made.file_of(data, tmp_path))


def test_rows_of_their_own_length_share_a_call_where_they_are_filled_up(tmp_path: Path) -> None:
    data = made.exported(lambda x: x.sum(axis=1), (("b", "n"), np.float32))
    model = loaded(made.file_of(data, tmp_path))
    assert model.spec.inputs == (TensorSpec("x0", DataType.FP32, (None,)),) and model.spec.batch == "any"
    assert asked(model, x0=X)["output"].tolist() == X.sum(axis=1).tolist()


def test_eight_threads_share_a_model(tmp_path: Path) -> None:
    model = loaded(made.file_of(made.linear(), tmp_path))

    def caller(number: int) -> bool:
        rows = X[number % 3 : number % 3 + 2]
        return all(np.allclose(asked(model, x0=rows)["scores"], rows @ made.WEIGHTS) for _ in range(100))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(caller, range(8)))


def test_linear_algebra_is_jaxs_own_and_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made.file_of(made.exported(lambda x: jax.numpy.linalg.qr(x)[1], ((4, 4), np.float32)), tmp_path)
    loaded(path)
    monkeypatch.setattr(program, "_CALLS", re.compile("shape_assertion"))
    with pytest.raises(UnsafeModel, match="calls code that is not JAX's own; got lapack_"):
        loaded(path)


def test_half_of_a_file_is_one_sentence(tmp_path: Path) -> None:
    data = made.linear()
    for half in (b"", b"x" * 40, b"\x80\x04.", data[:30], data[: len(data) // 2], data[:-40], b"\0" * len(data)):
        with pytest.raises(InvalidModel) as caught:
            loaded(made.file_of(half, tmp_path))
        assert "\n" not in str(caught.value) and "f.jax" in str(caught.value)


def test_a_function_for_another_device_is_refused(tmp_path: Path) -> None:
    path = made.file_of(made.exported(lambda x: x + 1, ROWS, platforms=("cuda",)), tmp_path)
    with pytest.raises(Unavailable, match="exported for another device; expected cpu, got cuda"):
        loaded(path)


def test_settings_are_honoured_or_refused(tmp_path: Path) -> None:
    path = made.file_of(made.linear(), tmp_path)
    with pytest.raises(InvalidSetting, match="JAX decides about its threads itself"):
        open_model(path, ModelSettings(threads=2))
    with pytest.raises(InferenceError, match="JAX"):
        open_model(path, ModelSettings(precision="fp16"))
    with pytest.raises(Unavailable, match="expected cpu, got cuda"):
        loaded(path, device="cuda")
    with pytest.raises(UnsafeModel, match="SHA-256"):
        open_model(path, ModelSettings(sha256="0" * 64))
