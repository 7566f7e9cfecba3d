"""`foretell inspect`: what a model takes and gives, and how to ask it."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import Any

import pytest

from foretell.cli.inspect import example_request
from foretell.types import DataType, ModelSpec, TensorSpec


def test_everything_a_program_wants_to_know(foretell: Any, folder: Path) -> None:
    shown = foretell("inspect", "iris.onnx", "--json").json
    content = (folder / "iris.onnx").read_bytes()
    assert shown["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert shown["size_bytes"] == len(content)
    assert (shown["name"], shown["version"], shown["framework"], shown["batch"]) == ("iris", "1", "onnx", "any")
    assert shown["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 4], "labels": None, "features": None}]
    probabilities = next(output for output in shown["outputs"] if output["shape"] == [-1, 3])
    assert probabilities["labels"] == ["setosa", "versicolor", "virginica"]
    words = shlex.split(shown["curl"])
    assert words[2] == "http://127.0.0.1:8000/v2/models/iris/infer"
    compile(shown["python"], "pasted", "exec")


def test_several_models_are_a_list(foretell: Any) -> None:
    shown = foretell("inspect", "iris.onnx", "b=models.py:Strict", "--json").json
    assert [one["name"] for one in shown] == ["b", "iris"]


def test_a_name_that_needs_quoting(foretell: Any) -> None:
    shown = foretell("inspect", "mein Modell ö=iris.onnx", "--json").json
    assert "/v2/models/mein%20Modell%20%C3%B6/infer" in shown["curl"]


def test_what_is_not_known_is_not_invented(foretell: Any) -> None:
    shown = foretell("inspect", "models.py:Double", "--json").json
    assert shown["inputs"][0]["shape"] is None
    assert shown["outputs"] is None
    assert shown["curl"] is shown["python"] is None
    assert "not known before the first call" in foretell("inspect", "models.py:Double").out


def test_the_screen_labels_what_it_shows(foretell: Any) -> None:
    shown = foretell("inspect", "iris.onnx").out
    lines = shown.splitlines()
    assert lines[0].startswith("iris version 1")
    assert "source" in lines[2]  # the first line of the table is a rule, not an empty head
    assert shown.index("In a shell:") < shown.index("curl -s") < shown.index("In Python:") < shown.index("urllib")
    assert "passes" not in shown


def test_names_in_a_model_do_not_reach_the_terminal_as_they_are(foretell: Any, folder: Path) -> None:
    (folder / "sly.py").write_text(
        "import numpy as np\n"
        "from foretell import DataType, TensorSpec\n"
        "class Sly:\n"
        "    inputs = (TensorSpec('x', DataType.FP32, (2,)),)\n"
        "    outputs = (TensorSpec('p', DataType.FP32, (2,)),)\n"
        "    labels = {'p': ('a\\x1b[2Jb', 'c')}\n"
        "    def predict(self, x):\n"
        "        return x\n"
    )
    for words in (["inspect", "sly.py:Sly"], ["predict", "sly.py:Sly", "[1, 2]", "--top", "2"]):
        shown = foretell(*words).out
        assert "a\\u001b[2Jb" in shown
        assert "\x1b[2J" not in shown


def test_the_screen_of_a_predictor_shows_no_inner_names(foretell: Any, folder: Path) -> None:
    (folder / "own.py").write_text(
        "from foretell import BasePredictor, DataType, TensorSpec\n"
        "class Iris(BasePredictor):\n"
        "    def __init__(self): super().__init__('iris.onnx')\n"
        "    def preprocess(self, data): return data\n"
        "class Told(Iris):\n"
        "    inputs = (TensorSpec('image', DataType.BYTES, ()),)\n"
    )
    shown = foretell("inspect", "own.py:Iris").out
    assert "predictor Iris" in shown
    assert "own_" not in shown
    assert "graph_optimization" in shown
    (line,) = [line for line in shown.splitlines() if "optimizations" in line]
    assert "none" not in line
    assert 'inputs = (foretell.TensorSpec("x", foretell.DataType.FP32, (4,)),)' in shown
    assert '"name":"image"' in foretell("inspect", "own.py:Told").out


def test_the_attribute_that_it_proposes_is_the_way_out(foretell: Any, folder: Path) -> None:
    proposed = next(
        line.strip() for line in foretell("inspect", "models.py:Double").out.splitlines() if "inputs = (" in line
    )
    (folder / "told.py").write_text(
        f"import foretell\nclass Model:\n    {proposed}\n    def predict(self, x): return x\n"
        f"def model(x): return x\nmodel.{proposed}\n"
    )
    for source in ("told.py:Model", "told.py:model"):
        assert foretell("inspect", source, "--json").json["inputs"][0]["shape"] == [-1, 4]
        assert '"shape":[1,4]' in foretell("inspect", source).out


@pytest.mark.parametrize(
    ("tensors", "batch", "data"),
    [
        ([TensorSpec("x", DataType.FP32, (2,))], "any", [("x", [1, 2], [0.5, 0.5])]),
        ([TensorSpec("x", DataType.FP32, (2,))], None, [("x", [2], [0.5, 0.5])]),
        ([TensorSpec("x", DataType.INT64, (None, 2))], "any", [("x", [1, 1, 2], [0, 0])]),
        ([TensorSpec("x", DataType.BOOL, ())], "any", [("x", [1], [True])]),
        ([TensorSpec("x", DataType.BYTES, ())], 4, [("x", [1], ["some text"])]),
        ([TensorSpec("x", DataType.UINT8, ()), TensorSpec("y", DataType.BYTES, (1,))], "any",
         [("x", [1], [0]), ("y", [1, 1], ["some text"])]),
    ],
)  # fmt: skip
def test_the_example_fits_the_model(tensors: list[TensorSpec], batch: Any, data: list[Any]) -> None:
    request = example_request(ModelSpec(inputs=tuple(tensors), batch=batch))
    assert request is not None
    assert [(t["name"], t["shape"], t["data"]) for t in request["inputs"]] == data


@pytest.mark.parametrize(
    "tensor",
    [
        TensorSpec("x"),
        TensorSpec("x", DataType.FP32),
        TensorSpec("x", DataType.FP16, (1,)),
        TensorSpec("x", None, (1,)),
    ],
)
def test_no_example_where_none_can_be_made(tensor: TensorSpec) -> None:
    assert example_request(ModelSpec(inputs=(tensor,))) is None
    assert example_request(ModelSpec()) is None


def test_what_was_tried_is_told(foretell: Any) -> None:
    shown = foretell("inspect", "iris.onnx", "--optimizations", "quantization", "--json").json
    (trial,) = shown["trials"]
    assert (trial["name"], trial["kept"]) == ("quantization", False)
    assert shown["optimizations"] == ["graph_optimization", "kernel_fusion"]
    assert "quantization is not kept: " in foretell("inspect", "iris.onnx", "--optimizations", "quantization").out
    assert foretell("inspect", "iris.onnx", "--json").json["trials"] == []
