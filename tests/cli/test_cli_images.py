"""`foretell predict` of an image: its pixels in the layout of the model, or the file for what decodes it itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)

_OWN = """
import io
from PIL import Image
import numpy as np
from foretell import BasePredictor

class Mean(BasePredictor):
    def __init__(self):
        super().__init__(lambda x: x)

    def preprocess(self, files):
        assert all(isinstance(file, bytes) for file in files)
        return np.array([[np.asarray(Image.open(io.BytesIO(file))).mean()] for file in files])

def size(image: bytes) -> int:
    return len(image)

def shape(image: np.ndarray) -> list[list[int]]:
    return [list(each.shape) for each in image]
"""


@pytest.fixture
def images(folder: Path) -> Path:
    """`colour.png`, `grey.png` and `own.py`, with models that take images in other ways."""
    Image.fromarray(PIXELS).save(folder / "colour.png")
    Image.fromarray(PIXELS[:, :, 0]).save(folder / "grey.png")
    (folder / "own.py").write_text(_OWN)
    return folder


def identity(folder: Path, *shape: int | str, kind: int = TensorProto.FLOAT) -> None:
    """`model.onnx`, which answers what it is given."""
    sides = [helper.make_tensor_value_info(name, kind, ["n", *shape]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", sides[:1], sides[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8])
@pytest.mark.parametrize(
    ("file", "shape", "row"),
    [
        ("colour.png", (3, 4, 6), PIXELS.transpose(2, 0, 1)),
        ("colour.png", (4, 6, 3), PIXELS),
        ("grey.png", (1, 4, 6), PIXELS[None, :, :, 0]),
        ("grey.png", (4, 6), PIXELS[:, :, 0]),
    ],
)
def test_pixels_go_in_as_they_are_in_the_layout_of_the_model(
    foretell: Any, images: Path, file: str, shape: tuple[int, ...], row: Any, kind: int
) -> None:
    identity(images, *shape, kind=kind)
    assert foretell("predict", "model.onnx", file, "--json").json == {"y": row.tolist()}


def test_a_wrong_size_says_what_was_expected_in_pixels(foretell: Any, images: Path) -> None:
    identity(images, 3, 224, 320)
    error = foretell("predict", "model.onnx", "colour.png").error
    assert error.startswith("colour.png: the image does not fit the model; expected 320 x 224 pixels in RGB")
    assert "got 6 x 4 pixels in RGB" in error
    assert "BasePredictor" in error


def test_a_predictor_that_decodes_gets_the_file_as_over_http(foretell: Any, images: Path) -> None:
    assert foretell("predict", "own.py:Mean", "colour.png", "--json").json == {"output": [PIXELS.mean()]}
    piped = foretell("predict", "own.py:Mean", "-", "--format", "image", "--json",
                     stdin=(images / "colour.png").read_bytes())  # fmt: skip
    assert piped.json == {"output": [PIXELS.mean()]}


def test_a_python_model_gets_what_its_hint_says(foretell: Any, images: Path) -> None:
    content = (images / "colour.png").read_bytes()
    assert foretell("predict", "own.py:size", "colour.png", "--json").json == {"output": len(content)}
    assert foretell("predict", "own.py:shape", "colour.png", "--json").json == {"output": [4, 6, 3]}


def test_what_is_no_image_is_said(foretell: Any, images: Path) -> None:
    identity(images, 3, 4, 6)
    (images / "bad.png").write_text("junk")
    assert "bad.png: not a readable image" in foretell("predict", "model.onnx", "bad.png").error
