"""A model in MLServer, in its own process. Run by MLServer; the ONNX file stands in the environment variable MODEL."""

from __future__ import annotations

import os

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
        self._output = self._session.get_outputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        answer = self._session.run(None, {"input": rows.astype("float32", copy=False)})[0]
        output = NumpyCodec.encode_output(self._output, answer)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
