"""The model file of Triton's Python backend. Triton runs it; the ONNX file stands in the environment variable MODEL."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
        self._output = self._session.get_outputs()[0].name

    def execute(self, requests: list[Any]) -> list[Any]:
        parts = [triton.get_input_tensor_by_name(request, "input").as_numpy() for request in requests]
        answer = self._session.run(None, {"input": np.concatenate(parts) if len(parts) > 1 else parts[0]})[0]
        replies, start = [], 0
        for part in parts:
            tensor = triton.Tensor(self._output, answer[start : start + len(part)])
            replies.append(triton.InferenceResponse([tensor]))
            start += len(part)
        return replies
