"""Models of `transformers` that take texts: classes of them, and a vector for each token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from foretell.backends.huggingface.classes import Classes
from foretell.backends.huggingface.network import Network, quiet
from foretell.backends.huggingface.tokens import MASK, columns_of
from foretell.backends.text_rows import answer_others, rows_without_text
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import NotReady
from foretell.forms.values import to_python
from foretell.model import Context
from foretell.types import DataType, ModelSpec, TensorSpec

_MOST_TOKENS = 1_000_000
"""A tokenizer that knows no longest text says a number beyond all meaning."""


class TextModel(Network):
    """Input: `text` BYTES. Outputs: of text-classification `label` BYTES and `probabilities` FP32 [classes], as its
    pipeline computes them (sigmoid where several classes may hold, else softmax); of feature-extraction `features`
    FP32 [tokens, width]. Longer texts are cut off at what the model takes."""

    def __init__(self, path: Path, settings: ModelSettings, task: str) -> None:
        super().__init__(path, settings)
        self._task = task
        self._tokenizer: Any = None
        self._classes: Classes | None = None

    def _read(self, dtype: torch.dtype) -> tuple[Any, ModelSpec]:
        classifies = self._task == "text-classification"
        kind = transformers.AutoModelForSequenceClassification if classifies else transformers.AutoModel
        alone = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(self._path, **alone)
        network = kind.from_pretrained(self._path, dtype=dtype, use_safetensors=True, **alone)
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        names = [name for name in self._tokenizer.model_input_names if name != MASK]
        fill = dict.fromkeys((*names, MASK), 0.0)
        fill["input_ids"] = float(self._tokenizer.pad_token_id or 0)
        text = (TensorSpec("text", DataType.BYTES, ()),)
        if not classifies:
            features = TensorSpec("features", DataType.FP32, (None, int(network.config.hidden_size)))
            return network, ModelSpec(text, (features,), pad=fill)
        self._classes = Classes.of(network.config, str(self._path))
        labels = {"probabilities": self._classes.names}
        return network, ModelSpec(text, self._classes.outputs(), pad=fill, labels=labels)

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._network is None:
            raise NotReady("the model is not loaded, or closed", where=self._where)
        return answer_others(batch, rows_without_text(batch, ("text",)), self._tokens)

    def _tokens(self, batch: Batch) -> Batch:
        texts = to_python(batch.columns["text"])
        most = min(self._tokenizer.model_max_length, _longest(self._network.config))
        with quiet():
            made = self._tokenizer(texts or [""], padding=True, truncation=most < _MOST_TOKENS,
                                   max_length=most if most < _MOST_TOKENS else None, return_tensors="np")  # fmt: skip
        names = self._tokenizer.model_input_names
        tokens = {name: np.asarray(made[name], np.int64) for name in dict.fromkeys((*names, MASK)) if name in made}
        return columns_of(tokens, max(1, batch.rows)).slice(0, batch.rows)

    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        answer = network(**tensors)
        if self._classes is None:
            return {"features": answer.last_hidden_state.float()}
        return {"probabilities": self._classes.probabilities(answer.logits)}

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        return batch if self._classes is None else self._classes.labelled(batch)


def _longest(config: Any) -> int:
    """Tokens that the positions of the network are for."""
    return int(getattr(config, "max_position_embeddings", 0) or _MOST_TOKENS)
