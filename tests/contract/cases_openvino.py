"""The ONNX files of the other runtime once more, and an IR."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
from contract_case import Case
from openvino_build import save_ir, times

from foretell.backends import open_model
from foretell.backends.opened import Opened
from foretell.columns import Batch
from foretell.config import ModelSettings

AGAIN = (
    "onnx-linear", "onnx-two-inputs", "onnx-fixed-batch-1", "onnx-fixed-batch-4", "onnx-baked-in-one-row",
    "onnx-no-axis-of-rows", "onnx-scalar-answer", "onnx-padded", "onnx-float16", "onnx-uint8", "onnx-bool",
    "onnx-bfloat16",
)  # fmt: skip


def cases() -> list[Case]:
    return [ir(), *(again(case) for case in onnx_cases())]


def onnx_cases() -> list[Case]:
    spec = importlib.util.spec_from_file_location("onnx_cases_again", Path(__file__).parent / "cases_onnx.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = {case.name: case for case in module.cases()}
    return [found[name] for name in AGAIN]


def again(case: Case) -> Case:
    def opened(folder: Path) -> Opened:
        first = case.open(folder)
        pad = {"x": 0.0} if case.name == "onnx-padded" else None
        return open_model(first.source, ModelSettings(threads=1, runtime="openvino", pad=pad))

    return dataclasses.replace(case, name=f"openvino-{case.name}", open=opened)


def ir() -> Case:
    x = np.random.default_rng(7).normal(size=(6, 3)).astype(np.float32)
    weights = np.random.default_rng(8).normal(size=(3, 2)).astype(np.float32)

    def opened(folder: Path) -> Opened:
        return open_model(save_ir(times(weights), folder), ModelSettings(threads=1))

    return Case(name="openvino-ir", open=opened, batch=Batch.of(x=x), expected={"y": x @ weights})
