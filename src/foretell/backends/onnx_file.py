"""Which runtime an ONNX file runs on: the one that was named, else the one that has the precision asked for."""

from __future__ import annotations

from pathlib import Path

from foretell.backends.onnx_format.file import read_onnx
from foretell.backends.opened import Opened
from foretell.config import ModelSettings
from foretell.errors import InvalidSetting, nearest

_RUNTIMES = ("onnxruntime", "openvino", "tensorrt")
_ON_OPENVINO = ("bf16", "fp16")
"""Precisions that ONNX Runtime computes in fp32 on processors."""


def open_onnx(path: Path, settings: ModelSettings) -> Opened:
    """Opens the ONNX file at `path`; nothing is loaded yet.

    Raises what the runtime's own way of opening raises, and `InvalidSetting` for a runtime that does not exist.
    """
    runtime = settings.runtime
    if runtime is not None and runtime not in _RUNTIMES:
        expected, fix = ", ".join(_RUNTIMES), nearest(runtime, _RUNTIMES)
        raise InvalidSetting("there is no such runtime for ONNX files", expected=expected, got=runtime, fix=fix)
    if runtime == "openvino" or (runtime is None and _is_openvinos(path, settings)):
        from foretell.backends.openvino import opening as openvino

        return openvino.open_onnx(path, settings)
    from foretell.backends.onnx import opening as onnxruntime

    return onnxruntime.open_onnx(path, settings)


def _is_openvinos(path: Path, settings: ModelSettings) -> bool:
    """Whether the precision that is asked for is one that only OpenVINO computes in; it has processors alone."""
    asked = (settings.precision or "").lower() in _ON_OPENVINO and settings.devices == ("cpu",)
    return asked and read_onnx(path).precision == "fp32"
