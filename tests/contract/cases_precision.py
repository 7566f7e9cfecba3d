"""One small network in each precision that this processor has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from contract_case import Case
from onnx import helper
from onnx_build import build, save, value

from foretell.backends import open_model
from foretell.backends.cpu import cpu_precisions
from foretell.backends.opened import Opened
from foretell.columns import Batch
from foretell.config import ModelSettings

TOLERANCE = {"bf16": 0.05, "fp16": 0.01, "int8": 0.05}


def cases() -> list[Case]:
    return [case(each) for each in sorted(cpu_precisions())]


def case(precision: str) -> Case:
    """y = tanh(x @ A) @ B, whose numbers are about one."""
    rng = np.random.default_rng(4)
    first, last = (rng.normal(size=(64, 64)).astype(np.float32) / 8 for _ in range(2))
    x = rng.normal(size=(6, 64)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["inner"]),
        helper.make_node("Tanh", ["inner"], ["active"]),
        helper.make_node("MatMul", ["active", "last"], ["y"]),
    ]
    weights = {"first": first, "last": last}
    model = build(nodes, [value("x", ["N", 64])], [value("y", ["N", 64])], weights=weights)

    def opened(folder: Path) -> Opened:
        return open_model(save(model, folder), ModelSettings(threads=1, precision=precision))

    expected = {"y": np.tanh(x @ first) @ last}
    return Case(
        name=f"precision-{precision}", open=opened, batch=Batch.of(x=x), expected=expected,
        tolerance=TOLERANCE[precision],
    )  # fmt: skip
