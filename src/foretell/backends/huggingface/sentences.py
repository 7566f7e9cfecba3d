"""Sentence encoders: one vector for a text, as `SentenceTransformer.encode` gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sentence_transformers
import torch

from foretell.backends.huggingface.network import Network
from foretell.backends.huggingface.tokens import MASK, columns_of
from foretell.backends.text_rows import answer_others, rows_without_text
from foretell.columns import Batch
from foretell.errors import InvalidModel, NotReady
from foretell.forms.values import to_python
from foretell.model import Context
from foretell.types import DataType, ModelSpec, TensorSpec


class SentenceEncoder(Network):
    """Input: `text` BYTES. Output: `embedding` FP32 [width]. Longer texts are cut off at what the model takes."""

    def _read(self, dtype: torch.dtype) -> tuple[Any, ModelSpec]:
        made = sentence_transformers.SentenceTransformer(
            str(self._path), device="cpu", trust_remote_code=False, local_files_only=True,
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        )  # fmt: skip
        tokenizer = getattr(made, "tokenizer", None)
        if tokenizer is None or not hasattr(tokenizer, "pad_token_id"):
            raise InvalidModel("its first step has no tokenizer", where=str(self._path), expected="a transformer")
        self._prepare = made.preprocess if hasattr(made, "preprocess") else made.tokenize
        fill = dict.fromkeys(tokenizer.model_input_names, 0.0)
        fill["input_ids"] = float(tokenizer.pad_token_id or 0)
        width = made.get_sentence_embedding_dimension() if not hasattr(made, "get_embedding_dimension") \
            else made.get_embedding_dimension()  # fmt: skip
        outputs = (TensorSpec("embedding", DataType.FP32, (width,)),)
        return made, ModelSpec((TensorSpec("text", DataType.BYTES, ()),), outputs, pad={**fill, MASK: 0.0})

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._network is None:
            raise NotReady("the model is not loaded, or closed", where=self._where)
        return answer_others(batch, rows_without_text(batch, ("text",)), self._tokens)

    def _tokens(self, batch: Batch) -> Batch:
        made = self._prepare(to_python(batch.columns["text"]) or [""])
        tokens = {name: np.asarray(each, np.int64) for name, each in made.items() if isinstance(each, torch.Tensor)}
        return columns_of(tokens, max(1, batch.rows)).slice(0, batch.rows)

    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        return {"embedding": network.forward(dict(tensors))["sentence_embedding"].float()}

    def variant(self) -> Mapping[str, str]:
        return {**super().variant(), "sentence-transformers": sentence_transformers.__version__}
