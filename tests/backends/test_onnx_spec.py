"""Where the rows of an ONNX model are: what its file declares, what a call shows, and what the settings say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_build import Dims, build, identity, iris_onnx, one_node, value

from foretell.backends.onnx_format.labels import read_names
from foretell.columns import Batch
from foretell.errors import InvalidModel, InvalidSetting
from foretell.model import Context
from foretell.types import DataType, TensorSpec


def test_a_free_axis_of_rows_takes_any_number(load: Any) -> None:
    spec = load(identity(["N", 3])).spec
    assert spec.batch == "any"
    assert spec.inputs == (TensorSpec("x", DataType.FP32, (3,)),)
    assert spec.outputs == (TensorSpec("y", DataType.FP32, (3,)),)
    assert spec.mergeable
    assert spec.concurrent


@pytest.mark.parametrize("opset", [7, 9, 13, 17, 21])
def test_opsets_old_and_new_work(load: Any, opset: int) -> None:
    model = load(identity(["N", 3], opset=opset, ir_version=3 if opset < 10 else 8))
    data = np.ones((2, 3), np.float32)
    assert model.predict(Batch.of(x=data), Context()).dense("y").tolist() == data.tolist()


@pytest.mark.parametrize(
    ("dims", "out", "batch"),
    [
        ([None, 3], [None, 3], "any"),
        (["N"], ["N"], "any"),
        (["unk__1", 3], ["unk__2", 3], "any"),
        (["N", "M", 3], ["N", "M", 3], "any"),
        ([1, 3], [1, 3], 1),
        ([1, "L"], [1, "L"], 1),
        ([5, 3], [5, 3], 5),
        ([3], [3], None),
        ([], [], None),
    ],
)
def test_declared_axes_of_rows(load: Any, dims: Dims, out: Dims, batch: object) -> None:
    assert load(identity(dims, out=out)).spec.batch == batch


@pytest.mark.parametrize("name", ["{}_dynamic_axes_1", "unk__{}", "p2o.DynamicDimension.{}"])
def test_names_that_exporters_invent_do_not_tell_inputs_apart(load: Any, name: str) -> None:
    inputs = [value(each, [name.format(at), 3]) for at, each in enumerate("ab")]
    adding = build([helper.make_node("Add", ["a", "b"], ["y"])], inputs, [value("y", [name.format(7), 3])])
    assert load(adding).spec.batch == "any"


def test_free_sizes_inside_a_row_are_free(load: Any) -> None:
    spec = load(identity(["N", "L", 2])).spec
    assert spec.inputs[0].shape == (None, 2)
    assert spec.outputs[0].shape == (None, 2)


def test_an_output_declared_with_one_row_is_tried(load: Any) -> None:
    assert load(identity(["N", 3], out=[1, 3])).spec.batch == "any"


def test_an_output_under_another_name_is_tried(load: Any) -> None:
    assert load(identity(["batch", 3], out=["M", 3])).spec.batch == "any"


def test_rows_of_other_inputs_are_not_guessed(load: Any) -> None:
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    model = build([node], [value("a", ["N", 3]), value("b", ["K", 3, 2])], [value("y", [None, None, None])])
    assert load(model).spec.batch is None


def test_a_table_of_all_pairs_has_no_axis_of_rows(load: Any) -> None:
    nodes = [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    model = load(build(nodes, [value("x", ["N", 3])], [value("y", ["N", "N"])]))
    assert model.spec.batch is None
    assert model.spec.inputs[0].shape == (None, 3)
    answer = model.predict(Batch.of(x=np.ones((2, 4, 3), np.float32)), Context())
    assert answer.dense("y").shape == (2, 4, 4)


@pytest.mark.parametrize("out", [[], ["N"], [None], None])
def test_an_output_that_is_not_per_row_makes_the_whole_tensor_one_row(load: Any, out: Dims) -> None:
    model = load(one_node("ReduceSum", ["N", 3], out, keepdims=0))
    assert model.spec.batch is None
    assert model.spec.inputs[0].shape == (None, 3)
    assert model.spec.outputs[0].shape in ((), None)
    answer = model.predict(Batch.of(x=np.ones((2, 4, 3), np.float32)), Context())
    assert answer.dense("y").tolist() == [12, 12]


def test_a_row_that_depends_on_its_neighbours_is_never_merged(load: Any) -> None:
    spec = load(one_node("Softmax", ["N", 3], ["N", 3], axis=0)).spec
    assert spec.batch == "any"
    assert not spec.row_wise
    assert not spec.mergeable


def test_a_dynamically_quantized_row_shares_its_scale_with_those_beside_it_and_is_never_merged(load: Any) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    weights = {"w": np.float32([[0.3, -0.7], [0.11, 0.5], [-0.2, 0.9]])}
    spec = load(build(nodes, [value("x", ["N", 3])], [value("y", ["N", 2])], weights=weights)).spec
    assert spec.batch == "any"
    assert not spec.row_wise
    assert not spec.mergeable


def test_a_dependence_that_zeros_do_not_show_is_seen_in_fractions(load: Any) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["x", "most"], ["y"]),
    ]
    assert not load(build(nodes, [value("x", ["N", 3])], [value("y", ["N", 3])])).spec.row_wise


def test_a_row_whose_answer_tells_its_place_depends_on_the_rows_before(load: Any) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Squeeze", ["rows"], ["count"]),
        helper.make_node("Range", ["zero", "count", "one"], ["y"]),
    ]
    weights = {"zero": np.array(0), "one": np.array(1)}
    outputs = [value("y", ["N"], TensorProto.INT64)]
    assert not load(build(nodes, [value("x", ["N", 3])], outputs, weights=weights)).spec.row_wise


def test_a_branch_that_looks_at_all_rows_is_seen(load: Any) -> None:
    yes = helper.make_graph([helper.make_node("Identity", ["x"], ["yes"])], "yes", [], [value("yes", ["N", 3])])
    no = helper.make_graph([helper.make_node("Neg", ["x"], ["no"])], "no", [], [value("no", ["N", 3])])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "limit"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=yes, else_branch=no),
    ]
    weights = {"limit": np.array(0, np.float32)}
    assert not load(build(nodes, [value("x", ["N", 3])], [value("y", ["N", 3])], weights=weights)).spec.row_wise


def test_a_model_without_inputs_is_refused(load: Any) -> None:
    node = helper.make_node("RandomUniform", [], ["y"], shape=[2])
    with pytest.raises(InvalidModel, match="a model without inputs has nothing to answer"):
        load(build([node], [], [value("y", [2])]))


def test_a_fixed_batch_whose_rows_mix_is_one_row(load: Any) -> None:
    assert load(one_node("Softmax", [4, 3], [4, 3], axis=0)).spec.batch is None


def test_random_models_are_not_deterministic(load: Any) -> None:
    spec = load(one_node("RandomNormalLike", ["N", 3], ["N", 3])).spec
    assert not spec.deterministic
    assert spec.batch == "any"
    assert spec.row_wise


def test_a_model_that_refuses_zeros_is_believed(load: Any) -> None:
    """Rows may not all be tried: an index of 0 is out of range in an empty table."""
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    table = {"table": np.zeros((0, 3), np.float32)}
    model = build([node], [value("x", ["N"], TensorProto.INT64)], [value("y", ["N", 3])], weights=table)
    assert load(model).spec.batch == "any"


def test_the_settings_overrule_the_file(load: Any) -> None:
    one_by_one = load(identity(["N", 3]), batch="none")
    assert one_by_one.spec.batch is None
    assert one_by_one.spec.inputs[0].shape == (None, 3)
    fours = load(identity(["N", 3]), batch=4)
    assert fours.spec.batch == 4
    assert fours.predict(Batch.of(x=np.ones((6, 3), np.float32)), Context()).rows == 6
    softmax = load(one_node("Softmax", ["N", 3], ["N", 3], axis=0), batch="any")
    assert softmax.spec.mergeable


@pytest.mark.parametrize(("dims", "batch"), [([1, 3], "any"), ([1, 3], 4), ([], "any"), ([], 2)])
def test_settings_that_the_file_rules_out_are_refused(load: Any, dims: Dims, batch: Any) -> None:
    with pytest.raises(InvalidSetting, match="input 'x' has"):
        load(identity(dims), batch=batch)


def test_unknown_ranks_are_not_guessed(load: Any) -> None:
    spec = load(identity(None)).spec
    assert spec.inputs == (TensorSpec("x", DataType.FP32, None),)
    assert spec.batch is None


@pytest.mark.parametrize(
    ("kind", "name"), [(TensorProto.FLOAT8E4M3FN, "float8e4m3fn"), (TensorProto.UINT4, "uint4|operator Identity")]
)
def test_types_that_no_protocol_carries_are_refused(load: Any, kind: int, name: str) -> None:
    with pytest.raises(InvalidModel, match=name):
        load(identity(["N"], kind, opset=21, ir_version=10))


def test_optional_inputs_are_refused(load: Any) -> None:
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 4]))
    node = helper.make_node("OptionalHasElement", ["x"], ["y"])
    with pytest.raises(InvalidModel, match="input 'x': its type cannot be served"):
        load(build([node], [helper.make_value_info("x", kind)], [value("y", [], TensorProto.BOOL)]))


def test_sequences_as_inputs_are_refused(load: Any) -> None:
    node = helper.make_node("SequenceLength", ["x"], ["y"])
    sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ["N"])
    with pytest.raises(InvalidModel, match="a sequence as input cannot be served"):
        load(build([node], [sequence], [value("y", [], TensorProto.INT64)]))


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_classifier_names_its_classes(load: Any, zipmap: bool) -> None:
    spec = load(iris_onnx(zipmap=zipmap)).spec
    scores = spec.outputs[1]
    assert (scores.datatype, scores.shape) == (DataType.FP32, (3,))
    assert spec.labels == {scores.name: ("setosa", "versicolor", "virginica")}


@pytest.mark.parametrize("key", ["names", "classes", "labels"])
def test_names_in_the_metadata_are_labels(load: Any, key: str) -> None:
    assert load(identity(["N", 2], metadata={key: "{0: 'cat', 1: 'dog'}"})).spec.labels == {"y": ("cat", "dog")}


def test_names_of_another_number_are_no_labels(load: Any) -> None:
    assert load(identity(["N", 3], metadata={"names": "['cat', 'dog']"})).spec.labels is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('["a", "b"]', ("a", "b")),
        ('{"1": "b", "0": "a"}', ("a", "b")),
        ('{"a": 0, "b": 1}', ("a", "b")),
        ("{0: 'a', 1: 'b'}", ("a", "b")),
        ("[3, 5]", ("3", "5")),
        ('{"0": "a", "2": "b"}', ()),
        ("__import__('os').getcwd()", ()),
        ("(" * 5000, ()),
        ("[" * 100_000, ()),
        ("[[1]]", ()),
        ("7", ()),
        ("", ()),
    ],
    ids=lambda value: str(value)[:20],
)
def test_names_are_read_as_json_or_as_python_writes_them(text: str, names: tuple[str, ...]) -> None:
    assert read_names(text) == names
