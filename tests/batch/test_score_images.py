"""`foretell score` of images: from a folder to rows with the names of the files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from file_sources import encoded, photograph
from onnx import helper
from onnx_build import build, value
from program import run

from foretell.batch.sources.resizing import resampler, resized

_FLAGS = ("--resize", "crop", "--scale", "1/255", "--mean", "0.5,0.4,0.3", "--std", "0.2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`mean.onnx`, which gives the mean of each channel of [3, 64, 64]; `data` with images, one of them bad."""
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    onnx.save(build([node], [value("x", ["n", 3, 64, 64])], [value("y", ["n", 3])], opset=13), tmp_path / "mean.onnx")
    for name in ("b/one.jpg", "a/two.jpeg", "three.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        image = photograph(len(name) % 2, (90 + len(name), 80))
        (tmp_path / "data" / name).write_bytes(encoded(image, "PNG" if name.endswith("png") else "JPEG"))
    (tmp_path / "data" / "b" / "bad.jpg").write_bytes(b"\xff\xd8 no more")
    return tmp_path


def expected(path: Path) -> np.ndarray:
    from PIL import Image

    pixels = resized(np.asarray(Image.open(path).convert("RGB")), "crop", (64, 64), resampler())
    return ((pixels / 255 - [0.5, 0.4, 0.3]) / 0.2).mean(axis=(0, 1))


def test_each_image_has_its_answer_under_its_name_and_the_bad_one_is_named(folder):
    done = run("score", "mean.onnx", "data", "-o", "out", *_FLAGS, "--processes", 1, "--json", cwd=folder)
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["quarantined"]) == (3, 1)
    rows = pq.read_table(folder / "out" / "data").to_pylist()
    assert [row["file"] for row in rows] == ["a/two.jpeg", "b/one.jpg", "three.png"]
    for row in rows:
        np.testing.assert_allclose(row["y"], expected(folder / "data" / row["file"]), atol=1e-4)
    (lost,) = [json.loads(line) for line in Path(report["quarantine"]).read_text().splitlines()]
    assert lost["key"] == {"file": "b/bad.jpg"} and lost["row"] == 1
    assert lost["error"].startswith(f"{folder}/data/b/bad.jpg: not a readable image")

    again = run("score", "mean.onnx", "data", "-o", "out", *_FLAGS, cwd=folder)
    assert "nothing to do" in again.stdout
    other = run("score", "mean.onnx", "data", "-o", "out", *_FLAGS[:2], cwd=folder)
    assert other.returncode == 1 and "this output belongs to another job" in other.stderr
    (folder / "data" / "more.png").write_bytes(b"x")
    more = run("score", "mean.onnx", "data", "-o", "out", *_FLAGS, cwd=folder)
    assert "it had 4 files, and has 5" in more.stderr


def test_options_of_images_for_other_data_are_refused(folder):
    pq.write_table(__import__("pyarrow").table({"x": [1.0]}), folder / "x.parquet")
    done = run("score", "mean.onnx", "x.parquet", "-o", "out", "--resize", "fit", cwd=folder)
    assert done.returncode == 2 and "--resize would do nothing: it is not for parquet" in done.stderr


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--scale", "1/x"), "wrong --scale; expected a number or a fraction such as 1/255, got '1/x'"),
        (("--mean", "1,2"), "wrong --mean; expected one number or three"),
        (("--std", "0"), "--std is out of range"),
    ],
)
def test_values_that_cannot_be_are_refused(folder, flags, told):
    done = run("score", "mean.onnx", "data", "-o", "out", *flags, cwd=folder)
    assert done.returncode == 2 and told in done.stderr


def test_looking_at_a_folder_imports_nothing_heavy(folder):
    script = (
        "import sys; from foretell.batch.inputs import find_inputs; find_inputs('data');"
        "heavy = {'numpy', 'cv2', 'PIL', 'simplejpeg', 'pyarrow', 'tarfile', 'zipfile'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
