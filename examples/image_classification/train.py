"""Trains a small network on handwritten digits, and keeps it as ONNX beside some images that it has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SAMPLES = 40
ENLARGED = 16


def train(model_file: Path, samples: Path) -> None:
    """Writes the model and, as NAME-NUMBER.png, the first images that it was not trained on."""
    data = load_digits()
    brightness = data.images / data.images.max()
    train_x, test_x, train_y, test_y = train_test_split(brightness, data.target, test_size=0.25, random_state=0)
    # Threads that share matrices this small wait for each other: five times as long where another program computes too.
    with threadpool_limits(1):
        network = MLPClassifier((64,), max_iter=500, random_state=0).fit(train_x.reshape(-1, 64), train_y)
    kind = FloatTensorType([None, 64])
    model = to_onnx(network, initial_types=[("pixels", kind)], options={"zipmap": False}, target_opset=17)
    # foretell reads the names of the classes from here.
    model.metadata_props.add(key="classes", value=json.dumps(NAMES))

    samples.mkdir(parents=True, exist_ok=True)
    for number, (image, digit) in enumerate(zip(test_x[:SAMPLES], test_y, strict=False)):
        pixels = np.kron(np.rint(image * 255), np.ones((ENLARGED, ENLARGED)))
        Image.fromarray(pixels.astype(np.uint8)).save(samples / f"{NAMES[digit]}-{number:02}.png")
    # Last, and under its own name only when whole: who finds the model finds everything.
    model_file.with_suffix(".part").write_bytes(model.SerializeToString())
    model_file.with_suffix(".part").replace(model_file)
