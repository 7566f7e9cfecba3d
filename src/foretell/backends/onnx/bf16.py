"""BF16 in ONNX Runtime: NumPy does not know it, so its bits travel as uint16."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.columns import Array
from foretell.types import DataType

_BF16 = 16  # TensorProto.BFLOAT16


def to_ort_value(data: Array, datatype: DataType) -> Any:
    """For models with BF16, which NumPy does not know: its bits travel as uint16."""
    from foretell.backends.onnx.quiet import onnxruntime

    if datatype is DataType.BF16:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(data), _BF16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(data)
