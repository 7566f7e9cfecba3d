"""An image classifier: from image files to labels and scores.

foretell serve digits=examples/image_classification/model.py:DigitClassifier
"""

from __future__ import annotations

import base64
import binascii
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from foretell import BasePredictor, DataType, InvalidInput, TensorSpec

BUILD = Path(__file__).parent / "build"
MODEL = BUILD / "digits.onnx"
SAMPLES = BUILD / "samples"
SIZE = (8, 8)

Picture = Path | bytes | str
"""A file, its content, or its content in base64, which is how JSON carries it."""


class DigitClassifier(BasePredictor):
    """Gives the `top` best labels and their scores, best first, each [top] for an image or [images, top] for a list."""

    inputs = (TensorSpec("image", DataType.BYTES, ()),)

    def __init__(self, top: int = 3) -> None:
        super().__init__(model_file())
        self.top = top
        self.names = np.array((self.spec.labels or {})["probabilities"])

    def preprocess(self, data: Picture | list[Picture]) -> np.ndarray:
        """Decodes and scales: float32 [64], or [images, 64]."""
        if isinstance(data, Path | bytes | str):
            return pixels(data)
        return np.stack([pixels(picture) for picture in data])

    def postprocess(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Keeps the best, with their names."""
        scores = outputs["probabilities"]
        best = np.argsort(-scores, axis=-1, kind="stable")[..., : self.top]
        return {"labels": self.names[best], "scores": np.take_along_axis(scores, best, axis=-1)}


def model_file() -> Path:
    """The model, trained now if it has not been."""
    if not MODEL.exists():
        from train import train

        print("training, once ...", file=sys.stderr)
        train(MODEL, SAMPLES)
    return MODEL


def pixels(picture: Picture) -> np.ndarray:
    """Bright ink on black, from 0 to 1, row by row."""
    name = str(picture) if isinstance(picture, Path) else "the image"
    try:
        content = base64.b64decode(picture, validate=True) if isinstance(picture, str) else picture
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            values = np.asarray(image.convert("L").resize(SIZE, Image.Resampling.BOX), np.float32) / 255
    except (OSError, binascii.Error) as error:
        raise InvalidInput("not a readable image", where=name, expected="a PNG or JPEG file") from error
    # On paper the ink is dark; the network knows only bright ink.
    return (values if values.mean() < 0.5 else 1 - values).reshape(-1)
