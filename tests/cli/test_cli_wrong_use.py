"""Wrong use of the program: exit code 2 and one line that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serv"], ["serv", 'mean "serve"']),
        (["--nope"], ["--nope"]),
        (["serve"], ["nothing to serve"]),
        (["serve", "models.py:Double", "--nope"], ["--nope"]),
        (["serve", "models.py:Double", "--http-port", "x"], ["--http-port", "x"]),
        (["serve", "models.py:Double", "--http-port", "-1"], ["--http-port", "at least 0"]),
        (["serve", "models.py:Double", "--http-port", "70000"], ["--http-port", "65535"]),
        (["serve", "models.py:Double", "--http-port"], ["--http-port"]),
        (["serve", "models.py:Double", "--header-timeout-s", "0"], ["--header-timeout-s", "more than 0"]),
        (["serve", "models.py:Double", "--drain-timeout-s", "nan"], ["--drain-timeout-s"]),
        (["serve", "models.py:Double", "--batch", "some"], ["batch", "some"]),
        (["serve", "models.py:Double", "--executor", "fork"], ["executor", "fork"]),
        (["serve", "a=models.py:Double", "a=models.py:shout"], ["'a'", "twice"]),
        (["serve", "..=models.py:Double"], ["'..'", "name"]),
        (["serve", " =models.py:Double"], ["name"]),
        (["serve", "models.py:Double", "--http-port", "80.5"], ["--http-port", "a whole number", "'80.5'"]),
        (["inspect"], ["MODEL is missing"]),
        (["inspect", "iris.onnx", "--trust", "numpy.dtype"], ["trust is for .skops files", "leave it out"]),
        (["serve", "iris.onnx", "models.py:Double", "--allow-pickle"], ["allow_pickle is for .pkl"]),
        (["predict", "iris.onnx", "[[1,2,3,4]]", "--allow-pickle"], ["allow_pickle is for .pkl"]),
        (["inspect", "models.py:Double", "--max-queue-size", "1"], ["--max-queue-size"]),
        (["config", "models.py:Double", "--cache-size", "-1"], ["cache_size", "at least 0"]),
    ],
)
def test_wrong_use(foretell: Any, arguments: list[str], words: list[str]) -> None:
    result = foretell(*arguments)
    assert result.code == 2
    for word in words:
        assert word in result.error


def test_help_and_version(foretell: Any) -> None:
    for arguments in ([], ["--help"], ["serve", "--help"], ["predict", "--help"]):
        result = foretell(*arguments)
        assert (result.code, result.err) == (0, "")
        assert "Usage: foretell" in result.out
    assert foretell("--version").out.strip().count(".") >= 1


def test_help_shows_what_may_be_given_and_what_holds_otherwise(foretell: Any) -> None:
    told = {name: foretell(name, "--help").out for name in ("serve", "predict", "inspect", "config")}
    for name, text in told.items():
        assert f"Usage: foretell {name} [OPTIONS] {'[MODEL...]' if name == 'config' else 'MODEL'}" in text
        assert "ARGS" not in text
        assert "--empty" not in text
        assert "--no-json" not in text
        assert "False" not in text
    assert "--MODEL" not in told["predict"]
    assert "csv, image, json, jsonl, npy, parquet, tsv, txt" in " ".join(told["predict"].split())
    for flag, default in (("--http-port", "8000"), ("--retries", "2"), ("--max-batch-size", "128"), ("--threads", "0")):
        (line,) = [line for line in told["serve"].splitlines() if f" {flag} " in line]
        assert f"[default: {default}]" in line
    for flag in ("--max-queue-size", "--executor", "--cache-size", "--host"):
        assert flag in told["serve"]
        assert flag not in told["predict"]
        assert flag not in told["inspect"]


def test_a_model_of_another_framework_is_told_the_way(foretell: Any, folder: Path) -> None:
    (folder / "m.ckpt").write_bytes(b"PK")
    error = foretell("inspect", "m.ckpt").error
    assert "expected one of .onnx, " in error
    assert error.endswith("export a PyTorch model with torch.export.save, or save its weights as .safetensors")
    (folder / "m.tflite").write_bytes(b"PK")
    assert "the Keras or TensorFlow model it was made from" in foretell("inspect", "m.tflite").error


def test_a_failure_of_one_model_closes_those_before_it(foretell: Any, folder: Path) -> None:
    (folder / "noisy.py").write_text(
        "class Model:\n    def predict(self, x): return x\n    def close(self): open('closed', 'w').close()\n"
    )
    result = foretell("serve", "noisy.py:Model", "missing.onnx")
    assert result.code == 1
    assert "missing.onnx" in result.error
    assert (folder / "closed").exists()


def test_a_user_defined_failure_is_no_traceback(foretell: Any, folder: Path) -> None:
    (folder / "bad.py").write_text("class Model:\n    def predict(self, x):\n        raise KeyError('two\\nlines')\n")
    result = foretell("predict", "bad.py:Model", "[[1, 2]]")
    assert result.code == 1
    assert "KeyError" in result.error
