"""Handwritten digits: a scikit-learn network, converted to ONNX so that it takes the pixels of an image file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.demo.folder import DemoFolder
from foretell.demo.task import Array, Task

if TYPE_CHECKING:
    from onnx import ModelProto

_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_BRIGHTNESS = 15
"""The data set counts ink from 0 to 16; times 15 it is the brightness of a pixel, 0 to 240, and nothing is rounded."""
_OPSET = 17


def make_digits(folder: DemoFolder, most_rows: int | None) -> Task:
    """Trains on three quarters of the 1,797 images [8, 8] of UINT8, and writes the model and samples.

    Data: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, as
    scikit-learn bundles it.
    """
    from PIL import Image
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    images = (data.images * _BRIGHTNESS).astype(np.uint8)
    train, test = train_test_split(np.arange(len(images)), test_size=0.25, stratify=data.target, random_state=0)
    model_file = folder.new("models", "digits", "1", "model.onnx")
    model_file.write_bytes(_trained(images[train], data.target[train]).SerializeToString())
    rows = np.concatenate([test, train])[:most_rows]
    held_out = range(min(len(test), len(rows)))
    Image.fromarray(images[test[0]]).save(folder.new("inputs", "digit.png"))
    sample = folder.new("inputs", "digits.npy")
    np.save(sample, images[test[:20]])
    return Task(
        name="digits",
        model=str(model_file),
        served_as=str(folder.models),
        rows=images[rows],
        expected=data.target[rows].tolist(),
        held_out=held_out,
        one="image",
        sample=sample,
    )


def _trained(images: Array, labels: Array) -> ModelProto:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    pixels = images.reshape(len(images), -1).astype(np.float32)
    network = make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=500, random_state=0))
    with threadpool_limits(1):  # for matrices this small, threads only wait for each other where others compute too
        network.fit(pixels, labels)
    kind = FloatTensorType([None, pixels.shape[1]])
    model = to_onnx(network, initial_types=[("pixels", kind)], options={"zipmap": False}, target_opset=_OPSET)
    return _taking_images(model, images.shape[1:])


def _taking_images(model: Any, shape: tuple[int, ...]) -> ModelProto:
    """The same model with an input `image`, UINT8 [rows, height, width], and the names of its classes in it."""
    from onnx import TensorProto, checker, helper

    graph = model.graph
    size = helper.make_tensor("pixels_shape", TensorProto.INT64, [2], [-1, int(np.prod(shape))])
    cast = helper.make_node("Cast", ["image"], ["brightness"], to=TensorProto.FLOAT)
    flatten = helper.make_node("Reshape", ["brightness", "pixels_shape"], ["pixels"])
    nodes = [cast, flatten, *graph.node]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["rows", *shape])
    for field, values in (("node", nodes), ("input", [image]), ("initializer", [*graph.initializer, size])):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    helper.set_model_props(model, {"classes": json.dumps(_NAMES)})
    checker.check_model(model, full_check=True)
    return model  # type: ignore[no-any-return]
