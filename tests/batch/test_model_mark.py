"""What of a model decides the answers, told without loading it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from foretell.batch.model_mark import bytes_of, mark_of
from foretell.config import ModelSettings


def test_the_versions_of_the_runtimes_are_those_that_are_installed(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"m")
    mark = mark_of(tmp_path / "m.onnx", ModelSettings(), "m", "1")
    for package in ("onnxruntime", "scikit-learn", "skops", "numpy"):
        assert mark[f"runtime {package}"] == version(package)


def test_a_runtime_that_is_not_there_has_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.onnx").write_bytes(b"m")
    (tmp_path / "numpy-9.1.dist-info").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path / "none"), str(tmp_path)])
    mark = mark_of(tmp_path / "m.onnx", ModelSettings(), "m", "1")
    assert (mark["runtime numpy"], mark["runtime skops"]) == ("9.1", "")


def test_weights_beside_the_file_belong_to_the_model(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"m")
    (tmp_path / "m.onnx.data").write_bytes(b"weights")
    before = mark_of(tmp_path / "m.onnx", ModelSettings(), "m", "1")
    (tmp_path / "m.onnx.data").write_bytes(b"other weights")
    assert mark_of(tmp_path / "m.onnx", ModelSettings(), "m", "1")["file"] != before["file"]


@pytest.mark.parametrize("name", ["m.onnx.certificate.json", "m-scores.parquet", "m.csv", "m.prom"])
def test_what_foretell_writes_beside_the_file_does_not(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"m")
    before = mark_of(tmp_path / "m.onnx", ModelSettings(), "m", "1"), bytes_of(tmp_path / "m.onnx")
    (tmp_path / name).write_bytes(b"answers")
    assert (mark_of(tmp_path / "m.onnx", ModelSettings(), "m", "1"), bytes_of(tmp_path / "m.onnx")) == before
