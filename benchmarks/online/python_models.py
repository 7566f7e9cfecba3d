"""Models in Python as foretell serves them. How the busy one is busy stands in the environment variable BUSY."""

from __future__ import annotations

import os

import numpy as np

from benchmarks.online.busy import Busy
from foretell import DataType, TensorSpec

HOP_FLOATS = 256
"""1 KB."""


class Held:
    """Holds the GIL for 2 ms a batch."""

    inputs = (TensorSpec("input", DataType.FP32, (4,)),)
    outputs = (TensorSpec("output", DataType.FP32, (1,)),)

    def __init__(self) -> None:
        self._busy = Busy(os.environ["BUSY"])

    def predict(self, input: np.ndarray) -> np.ndarray:
        return self._busy.predict(input)


class Echo:
    """1 KB in, 1 KB out, no work: what is left is the way there and back."""

    inputs = (TensorSpec("input", DataType.FP32, (HOP_FLOATS,)),)
    outputs = (TensorSpec("output", DataType.FP32, (HOP_FLOATS,)),)

    def predict(self, input: np.ndarray) -> np.ndarray:
        return input


class Pid:
    """Answers which process it is in."""

    inputs = (TensorSpec("input", DataType.FP32, (4,)),)
    outputs = (TensorSpec("output", DataType.INT64, ()),)

    def predict(self, input: np.ndarray) -> np.ndarray:
        return np.full(len(input), os.getpid())
