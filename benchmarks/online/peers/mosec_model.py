"""A model in mosec. Run by the Python of mosec's environment, with mosec's flags.

The environment variables BATCH, WAIT_MS and WORKERS are the arguments of `append_worker`; MODEL is an ONNX file, or
"busy:HOW" for Python that holds the GIL, see `busy.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from mosec import Server, Worker

sys.path.append(str(Path(__file__).parents[1]))
from busy import Busy  # type: ignore[import-not-found]

MODEL, BATCH = os.environ["MODEL"], int(os.environ["BATCH"])


class _Body(msgspec.Struct):
    input: list[float]


class Fast(Worker):  # type: ignore[misc]
    """With msgspec instead of `json`, as mosec's documents advise."""

    _decode = msgspec.json.Decoder(_Body).decode

    def deserialize(self, data: bytes) -> Any:
        return self._decode(data).input

    def serialize(self, data: Any) -> bytes:
        return msgspec.json.encode({"output": data})

    def forward(self, data: Any) -> Any:
        # With a batch size of 1 mosec hands over the row itself.
        return self.predict(data) if BATCH > 1 else self.predict([data])[0]

    def predict(self, rows: list[list[float]]) -> list[list[float]]:
        raise NotImplementedError


class Onnx(Fast):
    def __init__(self) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(MODEL, options)

    def predict(self, rows: list[list[float]]) -> list[list[float]]:
        answer: list[list[float]] = self._session.run(None, {"input": np.array(rows, np.float32)})[0].tolist()
        return answer


class Python(Fast):
    def __init__(self) -> None:
        super().__init__()
        self._model = Busy(MODEL.partition(":")[2])

    def predict(self, rows: list[list[float]]) -> list[list[float]]:
        answer: list[list[float]] = self._model.predict(np.array(rows, np.float32)).tolist()
        return answer


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Python if MODEL.startswith("busy:") else Onnx,
        num=int(os.environ["WORKERS"]),
        max_batch_size=BATCH,
        max_wait_time=int(os.environ["WAIT_MS"]),
    )
    server.run()
