"""Weights beside the model file are used; weights anywhere else are refused before the runtime sees the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_build import build, save, value

from foretell.backends.onnx.opening import open_onnx
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, UnsafeModel
from foretell.model import Context

WEIGHTS = np.array([[1, 2], [3, 4]], np.float32)


def outside(location: str, offset: int | str = 0, length: int | str | None = 16) -> onnx.ModelProto:
    """y = x @ w, with w in another file."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = build([node], [value("x", ["N", 2])], [value("y", ["N", 2])])
    tensor = numpy_helper.from_array(WEIGHTS, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": str(offset), "length": None if length is None else str(length)}
    for key, text in entries.items():
        if text is not None:
            tensor.external_data.add(key=key, value=text)
    model.graph.initializer.append(tensor)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the model, beside a secret that it must not read."""
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def refused(model: onnx.ModelProto, folder: Path, kind: type[InvalidModel], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        open_onnx(save(model, folder), ModelSettings())
    assert type(caught.value) is kind


@pytest.mark.parametrize("location", ["weights.bin", "inner/weights.bin", "./weights.bin"])
def test_data_beside_the_file_is_used(folder: Path, location: str) -> None:
    data = folder / location
    data.parent.mkdir(exist_ok=True)
    data.write_bytes(bytes(4) + WEIGHTS.tobytes())
    opened = open_onnx(save(outside(location, offset=4), folder), ModelSettings(threads=1))
    opened.model.load("cpu")
    answer = opened.model.predict(Batch.of(x=np.ones((3, 2), np.float32)), Context())
    opened.model.close()
    assert answer.dense("y").tolist() == [[4, 6]] * 3
    assert opened.size_bytes == (folder / "model.onnx").stat().st_size + 20


def test_the_digest_covers_the_data(folder: Path) -> None:
    data = folder / "weights.bin"
    data.write_bytes(WEIGHTS.tobytes())
    path = save(outside("weights.bin"), folder)
    before = open_onnx(path, ModelSettings()).digest
    assert open_onnx(path, ModelSettings()).digest == before
    data.write_bytes((WEIGHTS + 1).tobytes())
    assert open_onnx(path, ModelSettings()).digest != before


@pytest.mark.parametrize(
    "location",
    ["../secret", "inner/../../secret", "/etc/passwd", "..\\secret", "C:\\secret", "C:/secret", "./../secret"],
)
def test_data_outside_the_folder_is_refused(folder: Path, location: str) -> None:
    (folder / "inner").mkdir()
    refused(outside(location), folder, UnsafeModel, "external data lies outside its folder")


def test_an_absolute_location_is_refused_even_inside(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(WEIGHTS.tobytes())
    refused(outside(str(folder / "weights.bin")), folder, UnsafeModel, "outside its folder")


def test_a_link_that_leaves_the_folder_is_refused(folder: Path) -> None:
    (folder / "weights.bin").symlink_to(folder.parent / "secret")
    refused(outside("weights.bin"), folder, UnsafeModel, "link that leaves its folder")


def test_a_linked_folder_that_leaves_is_refused(folder: Path) -> None:
    (folder / "inner").symlink_to(folder.parent)
    refused(outside("inner/secret"), folder, UnsafeModel, "link that leaves its folder")


def test_a_tag_for_memory_is_refused(folder: Path) -> None:
    deep = folder / "*" / "_ORT_MEM_ADDR_"
    deep.mkdir(parents=True)
    (deep / "*").write_bytes(WEIGHTS.tobytes())
    refused(outside("*/_ORT_MEM_ADDR_/*"), folder, UnsafeModel, "outside its folder")


@pytest.mark.parametrize(
    ("location", "match"),
    [("gone.bin", "is not there"), ("", "no file name"), ("a\0b", "no file name"), ("inner", "no regular file")],
)
def test_data_that_is_not_there_is_named(folder: Path, location: str, match: str) -> None:
    (folder / "inner").mkdir()
    refused(outside(location), folder, InvalidModel, match)


def test_data_that_is_too_short_is_refused(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(WEIGHTS.tobytes())
    refused(outside("weights.bin", offset=1), folder, InvalidModel, "too short; expected at least 17 bytes, got 16")


def test_an_offset_that_is_no_number_is_refused(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(WEIGHTS.tobytes())
    refused(outside("weights.bin", offset="-1"), folder, InvalidModel, "offset is no number")


def test_a_link_loop_is_refused(folder: Path) -> None:
    (folder / "weights.bin").symlink_to(folder / "weights.bin")
    refused(outside("weights.bin"), folder, InvalidModel, "is not there")
