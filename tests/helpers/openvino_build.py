"""Small OpenVINO models, made when a test needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from foretell.backends.openvino.quiet import openvino

ops = openvino.opset13


def parameter(dims: list[int], kind: str = "f32", name: str = "x") -> Any:
    """An input; -1 is a free size."""
    made = openvino.op.Parameter(getattr(openvino.Type, kind), openvino.PartialShape(dims))
    made.output(0).set_names({name})
    return made


def model(result: Any, *inputs: Any, sinks: Any = ()) -> Any:
    """`result` under the name y."""
    result.output(0).set_names({"y"})
    return openvino.Model([result.output(0)], list(sinks), list(inputs), "model")


def times(weights: np.ndarray) -> Any:
    """y = x @ weights, for any number of rows."""
    x = parameter([-1, len(weights)])
    return model(ops.matmul(x, ops.constant(weights), transpose_a=False, transpose_b=False), x)


def save_ir(made: Any, folder: Path, name: str = "model.xml") -> Path:
    path = folder / name
    openvino.save_model(made, path, compress_to_fp16=False)
    return path
