"""Triton's own client, unmodified: opening it, and what to send with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np
import tritonclient.http as triton
from serving import Running
from tritonclient.utils import np_to_triton_dtype

from foretell.types import DataType

Array = np.ndarray[Any, Any]

TEXTS = ["", "plain", "Zürich ☃ 漢字 🙂", "NUL \0 inside", 'quotes " \\ and \n lines', " "]
ARRAYS = {
    DataType.BOOL: np.array([[True, False], [False, True]]),
    DataType.UINT8: np.array([[0, 255], [1, 2]], np.uint8),
    DataType.UINT16: np.array([[0, 65535], [1, 2]], np.uint16),
    DataType.UINT32: np.array([[0, 2**32 - 1], [1, 2]], np.uint32),
    DataType.UINT64: np.array([[0, 2**64 - 1], [2**63, 2]], np.uint64),
    DataType.INT8: np.array([[-128, 127], [-1, 2]], np.int8),
    DataType.INT16: np.array([[-(2**15), 2**15 - 1], [-1, 2]], np.int16),
    DataType.INT32: np.array([[-(2**31), 2**31 - 1], [-1, 2]], np.int32),
    DataType.INT64: np.array([[-(2**63), 2**63 - 1], [-1, 2]], np.int64),
    DataType.FP16: np.array([[0.1, -65504], [np.inf, 6e-8]], np.float16),
    DataType.BF16: np.array([[0.1, -3e38], [np.inf, 1e-38]], ml_dtypes.bfloat16),
    DataType.FP32: np.array([[0.1, -3.4e38], [1e-45, 1 / 3]], np.float32),
    DataType.FP64: np.array([[0.1, -1.7e308], [5e-324, 1 / 3]], np.float64),
    DataType.BYTES: np.array([[text.encode() for text in TEXTS[:3]], [text.encode() for text in TEXTS[3:]]], object),
}  # fmt: skip


@contextmanager
def client(server: Running, **options: Any) -> Iterator[triton.InferenceServerClient]:
    opened = triton.InferenceServerClient(server.url, connection_timeout=20, network_timeout=20, **options)
    try:
        yield opened
    finally:
        opened.close()


def given(name: str, array: Array, *, binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def outputs(*names: str, binary: bool = True, **more: Any) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary, **more) for name in names]
