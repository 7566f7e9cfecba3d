"""Sentence encoders: one vector for a text, as `SentenceTransformer.encode` gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sentence_transformers
import torch

from foretell.backends.huggingface.network import Network
from foretell.backends.huggingface.tokens import MASK, columns_of, plain_texts
from foretell.backends.text_rows import answer_others, rows_without_text
from foretell.columns import Batch
from foretell.errors import InvalidModel, NotReady
from foretell.forms.values import to_python
from foretell.model import Context
from foretell.types import DataType, ModelSpec, TensorSpec


class SentenceEncoder(Network):
    """Input: `text` BYTES. Output: `embedding` FP32 [width]. The prompt that the folder names as its default stands
    before each text. Longer texts are cut off at what the model takes."""

    _prompt_length: int | None = None

    def _read(self, dtype: torch.dtype) -> tuple[Any, ModelSpec]:
        made = sentence_transformers.SentenceTransformer(
            str(self._path), device="cpu", trust_remote_code=False, local_files_only=True,
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        )  # fmt: skip
        pad = self._pad(made)
        self._prompt = str((made.prompts or {}).get(made.default_prompt_name) or "")
        self._width: int | None = made.truncate_dim
        width = made.get_sentence_embedding_dimension() if not hasattr(made, "get_embedding_dimension") \
            else made.get_embedding_dimension()  # fmt: skip
        if self._width is not None and width is not None:
            width = min(width, self._width)
        outputs = (TensorSpec("embedding", DataType.FP32, (width,)),)
        return made, ModelSpec((TensorSpec("text", DataType.BYTES, ()),), outputs, pad={**pad, MASK: 0.0})

    def _pad(self, made: Any) -> dict[str, float]:
        """What fills up the rows of each of its inputs. Raises `InvalidModel` for an encoder of something else."""
        tokenizer = getattr(made, "tokenizer", None)
        if tokenizer is None or not hasattr(tokenizer, "pad_token_id"):
            raise InvalidModel("its first step has no tokenizer", where=str(self._path), expected="a transformer")
        fill = dict.fromkeys(tokenizer.model_input_names, 0.0)
        return {**fill, "input_ids": float(tokenizer.pad_token_id or 0)}

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._network is None:
            raise NotReady("the model is not loaded, or closed", where=self._where)
        return answer_others(batch, rows_without_text(batch, ("text",)), self._tokens)

    def _plain(self) -> Batch:
        return plain_texts()

    def _tokens(self, batch: Batch) -> Batch:
        made = self._tokenized(batch)
        self._prompt_length = made.get("prompt_length")
        tokens = {name: np.asarray(each, np.int64) for name, each in made.items() if isinstance(each, torch.Tensor)}
        return columns_of(tokens, max(1, batch.rows)).slice(0, batch.rows)

    def _tokenized(self, batch: Batch) -> Mapping[str, Any]:
        """What the network's first step makes of the texts, of an empty one where there are no rows."""
        texts = to_python(batch.columns["text"]) or [""]
        if hasattr(self._network, "preprocess"):
            made: Mapping[str, Any] = self._network.preprocess(texts, prompt=self._prompt or None)
            return made
        return dict(self._network.tokenize([self._prompt + text for text in texts]))

    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        told = {} if self._prompt_length is None else {"prompt_length": self._prompt_length}
        embedding = network.forward({**tensors, **told})["sentence_embedding"].float()
        return {"embedding": embedding[..., : self._width]}

    def variant(self) -> Mapping[str, str]:
        return {**super().variant(), "sentence-transformers": sentence_transformers.__version__}
