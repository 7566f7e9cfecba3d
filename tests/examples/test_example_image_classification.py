"""Image classification, run as its README says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps


@pytest.fixture(scope="module")
def folder(example: Callable[[str], Path], run: Any) -> Path:
    """The example after its first call, which trains."""
    copy = example("image_classification")
    first = run("classify.py", cwd=copy)
    assert first.returncode == 0, first.stderr
    assert "training, once" in first.stderr
    assert re.search(r"(\w+)-\d+\.png: \1 [01]\.\d+, \w+ 0\.\d+, \w+ 0\.\d+   \([\d.]+ ms\)", first.stdout)
    return copy


def test_one_image_gives_its_best_labels(folder: Path, run: Any) -> None:
    image = min((folder / "build" / "samples").glob("seven-*.png"))
    done = run("classify.py", image, "--top", 2, cwd=folder)
    assert re.search(r": seven [01]\.\d+, \w+ 0\.\d+   \(", done.stdout)
    assert done.stderr == ""


def test_a_scan_of_dark_ink_is_read_too(folder: Path, run: Any, tmp_path: Path) -> None:
    image = min((folder / "build" / "samples").glob("seven-*.png"))
    with Image.open(image) as bright:
        ImageOps.invert(bright).convert("RGB").resize((300, 300)).save(tmp_path / "scan.jpg", quality=95)
    assert ": seven " in run("classify.py", tmp_path / "scan.jpg", "--top", 1, cwd=folder).stdout


def test_a_folder_gives_a_line_for_each_image(folder: Path, run: Any, tmp_path: Path) -> None:
    done = run("classify.py", "build/samples", "--top", 3, "-o", tmp_path / "out.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("40 images in ")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) == len({line["file"] for line in lines}) == 40
    right = [Path(line["file"]).stem.split("-")[0] == line["labels"][0] for line in lines]
    assert sum(right) >= 36
    assert all(line["scores"] == sorted(line["scores"], reverse=True) and len(line["scores"]) == 3 for line in lines)


def test_in_batch_an_image_gets_the_answer_it_gets_alone(folder: Path, run: Any) -> None:
    batch = run("classify.py", "build/samples", "--top", 1, cwd=folder).stdout.splitlines()
    one = json.loads(batch[-1])
    alone = run("classify.py", one["file"], "--top", 1, cwd=folder).stdout
    assert alone.startswith(f"{one['file']}: {one['labels'][0]} {one['scores'][0]:.3f} ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.py"], "classify.py: model.py: not a readable image; expected a PNG or JPEG file"),
        (["nowhere.png"], "nowhere.png: there is no such file or folder"),
        (["."], "there is no image in this folder"),
        (["--top", "0"], "--top takes 1 or more"),
        (["-o", "digits.jsonl"], "--out is for the answers of a FOLDER"),
        (["model.py", "-o", "digits.jsonl"], "--out is for the answers of a FOLDER"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder: Path, run: Any, arguments: list[str], message: str) -> None:
    done = run("classify.py", *arguments, cwd=folder)
    assert done.returncode != 0
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_command_line_gives_its_class_the_file(folder: Path, run: Any) -> None:
    image = min((folder / "build" / "samples").glob("seven-*.png"))
    done = run("-m", "foretell", "predict", "model.py:DigitClassifier", image, "--json", cwd=folder)
    assert json.loads(done.stdout)["labels"][0] == "seven", done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_it_serves_as_its_readme_says(folder: Path, served: Any, blocks: Any) -> None:
    _, serve, curl = blocks(folder)
    with served(serve, folder) as paste:
        outputs = {output["name"]: output for output in paste(curl)["outputs"]}
    first = min((folder / "build" / "samples").iterdir()).name.split("-")[0]
    assert outputs["labels"]["shape"] == outputs["scores"]["shape"] == [1, 3]
    assert outputs["labels"]["data"][0] == first
    assert 0.5 < outputs["scores"]["data"][0] <= 1
