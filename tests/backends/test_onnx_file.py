"""What an ONNX file says is read without trusting it; what is no ONNX file is named."""

from __future__ import annotations

import gzip
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_build import build, identity, iris_onnx, save, value

from foretell import Predictor
from foretell.backends.onnx.opening import open_onnx
from foretell.backends.onnx_format.file import MAX_DEPTH, read_onnx
from foretell.backends.onnx_format.wire import Message, Reader, WireError
from foretell.config import ModelSettings
from foretell.errors import InvalidModel


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, inner: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(inner)) + inner


def written(folder: Path, data: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return path


def test_the_facts_of_a_file_are_read(tmp_path: Path) -> None:
    model = build(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Odd", ["y"], ["z"], domain="my.domain")],
        [value("x", ["N", 2]), value("unknown", None)],
        [value("z", ["N", 3])],
        weights={"w": np.zeros((2, 3), np.float16)},
        opset=15,
        domains={"my.domain": 7},
        metadata={"author": "Ann"},
    )
    found = read_onnx(save(model, tmp_path))
    assert found.ir_version == 8
    assert found.opsets == {"": 15, "my.domain": 7}
    assert found.metadata == {"author": "Ann"}
    assert found.operators == {("", "MatMul"), ("my.domain", "Odd")}
    assert found.dims == {"x": ("N", 2), "z": ("N", 3)}
    assert found.outputs == ["z"]
    assert found.precision == "fp16"
    assert found.deterministic


@pytest.mark.parametrize("operator", ["RandomNormalLike", "Bernoulli"])
def test_random_operators_are_seen(tmp_path: Path, operator: str) -> None:
    model = build([helper.make_node(operator, ["x"], ["y"])], [value("x", ["N"])], [value("y", ["N"])])
    assert not read_onnx(save(model, tmp_path)).deterministic


def test_a_quantized_graph_is_int8(tmp_path: Path) -> None:
    model = build(
        [helper.make_node("DequantizeLinear", ["x", "scale"], ["y"])],
        [value("x", ["N"], TensorProto.INT8)],
        [value("y", ["N"])],
        weights={"scale": np.float32(0.5)},
    )
    assert read_onnx(save(model, tmp_path)).precision == "int8"


def normalized(outputs: list[str], opset: int, inside: bool = False, **attributes: int) -> onnx.ModelProto:
    """A model whose batch normalization has these outputs; `inside`: in a branch of another node."""
    names = ["x", "scale", "shift", "mean", "spread"]
    node = helper.make_node("BatchNormalization", names, outputs, "norm", **attributes)
    weights = {name: np.ones(3, np.float32) for name in names[1:]} | {"yes": np.array(True)}
    if inside:
        branch = helper.make_graph([node], "branch", [], [value(outputs[0], None)])
        node = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    return build([node], [value("x", ["N", 3])], [value("y", None)], weights=weights, opset=opset)


@pytest.mark.parametrize(
    ("outputs", "opset", "options"),
    [
        (["y", "", ""], 15, {"training_mode": 1}),
        (["y", "m", ""], 17, {"training_mode": 1}),
        (["y", "", "v"], 14, {"training_mode": 1}),
        (["y", "", "", "", ""], 9, {}),
        (["z", "", ""], 17, {"training_mode": 1, "inside": True}),
    ],
)
def test_a_model_left_in_training_mode_that_would_end_the_process_is_refused(
    tmp_path: Path, outputs: list[str], opset: int, options: dict[str, int]
) -> None:
    path = save(normalized(outputs, opset, **options), tmp_path)
    with pytest.raises(InvalidModel, match=r"node 'norm' \(BatchNormalization\) is in training mode, and has outputs"):
        open_onnx(path, ModelSettings())


@pytest.mark.parametrize(("outputs", "options"), [(["y"], {}), (["y", "m", "v"], {"training_mode": 1})])
def test_batch_normalization_that_names_its_outputs_is_opened(
    tmp_path: Path, outputs: list[str], options: dict[str, int]
) -> None:
    with Predictor(save(normalized(outputs, 17, **options), tmp_path)) as predictor:
        assert len(predictor.predict({"x": np.ones((2, 3), np.float32)})["y"]) == 2


def test_class_names_of_a_classifier_are_found(tmp_path: Path) -> None:
    assert ("setosa", "versicolor", "virginica") in read_onnx(save(iris_onnx(zipmap=False), tmp_path)).class_labels


def test_external_data_is_found_wherever_a_tensor_can_be(tmp_path: Path) -> None:
    def outside(location: str) -> TensorProto:
        tensor = numpy_helper.from_array(np.zeros(4, np.float32), location)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in {"location": location, "offset": "4", "length": "16"}.items():
            tensor.external_data.add(key=key, value=text)
        return tensor

    model = identity(["N"])
    model.graph.initializer.append(outside("initializer"))
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(outside("sparse values"))
    sparse.indices.CopyFrom(outside("sparse indices"))
    node = model.graph.node.add(op_type="Constant", output=["c"])
    node.attribute.append(helper.make_attribute("value", outside("attribute")))
    node.attribute.append(helper.make_attribute("values", [outside("list")]))
    inner = helper.make_graph([], "inner", [], [], initializer=[outside("subgraph")])
    node.attribute.append(helper.make_attribute("body", inner))
    function = model.functions.add(name="f", domain="d")
    function.node.add(op_type="Constant").attribute.append(helper.make_attribute("value", outside("function")))
    model.training_info.add().algorithm.initializer.append(outside("training"))

    found = read_onnx(save(model, tmp_path)).externals
    assert {external.location for external in found} == {
        "initializer", "sparse values", "sparse indices", "attribute", "list", "subgraph", "function", "training",
    }  # fmt: skip
    assert all((external.offset, external.length) == (4, 16) for external in found)


def test_long_runs_of_numbers_do_not_hide_what_follows(tmp_path: Path) -> None:
    node = helper.make_node("Odd", ["x"], ["y"], ints=list(range(-500, 500)), floats=[1.5] * 1000)
    node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1, np.float64))))
    model = build([node], [value("x", ["N"], TensorProto.INT64)], [value("y", ["N"], TensorProto.INT64)])
    assert read_onnx(save(model, tmp_path)).precision == "fp64"


def archive() -> bytes:
    import io

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a", "b")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"", "an empty file"),
        (b"this is not a model\n", "text"),
        (pickle.dumps({"a": 1}), "a pickle"),
        (archive(), "a zip archive"),
        (gzip.compress(b"a", mtime=0), "a gzip file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "an HTML or XML page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file"),
    ],
)
def test_what_is_no_onnx_file_is_named(tmp_path: Path, data: bytes, looks: str) -> None:
    with pytest.raises(InvalidModel, match=f"not an ONNX file.*{looks}"):
        open_onnx(written(tmp_path, data), ModelSettings())


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, part: float) -> None:
    whole = iris_onnx(zipmap=True).SerializeToString()
    with pytest.raises(InvalidModel, match="truncated"):
        open_onnx(written(tmp_path, whole[: int(len(whole) * part)]), ModelSettings())


def nested(depth: int) -> bytes:
    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))  # graph.node.attribute.g
    return b"\x08\x08" + field(7, graph)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x08\x08" + varint(7 << 3 | 2) + varint(2**62), "claims 4611686018427387904 bytes"),
        (b"\x08" + b"\xff" * 11, "more than 64 bits"),
        (b"\x08\x08", "holds no graph"),
        (field(7, b""), "names no IR version"),
        (b"\x08\x08\x38\x01", "graph is a number"),
        (field(1, b"a"), "ir_version is no number"),
        (b"\x08\x08\x03", "field number 0"),
        (b"\x08\x08\x0b", "unknown wire type 3"),
        (b"\x08\x08\x09\x00", "ends inside a number"),
        (nested(MAX_DEPTH + 1), "nested deeper than"),
        (nested(20_000), "nested deeper than"),
        (b"\x08\x08" + field(7, field(5, field(13, field(1, b"location")))), "without one key and one value"),
        (b"\x08\x08" + field(7, field(5, field(13, field(1, b"offset") + field(2, b"-1")))), "offset is no number"),
        (
            b"\x08\x08" + field(7, field(5, 2 * field(13, field(1, b"location") + field(2, b"a")))),
            "names its location twice",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_hostile_bytes_end_in_a_sentence(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(InvalidModel, match=why):
        read_onnx(written(tmp_path, data))


def test_deep_but_bounded_nesting_is_read(tmp_path: Path) -> None:
    assert read_onnx(written(tmp_path, nested(MAX_DEPTH - 1))).ir_version == 8


def test_any_damage_ends_in_a_sentence_or_is_harmless(tmp_path: Path) -> None:
    whole = iris_onnx(zipmap=True).SerializeToString()
    rng = random.Random(3)
    sentences = []
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            read_onnx(written(tmp_path, bytes(damaged)))
        except InvalidModel as error:
            sentences.append(str(error))
    assert sentences
    assert not [sentence for sentence in sentences if "\n" in sentence]


def test_the_number_of_fields_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.backends.onnx_format.wire.MAX_FIELDS", 100)
    data = b"\x10\x01" * 101
    with pytest.raises(WireError, match="more than 100 fields"):
        list(Reader().fields(Message(data, 0, len(data))))


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="cannot be read"):
        open_onnx(tmp_path / "gone.onnx", ModelSettings())
