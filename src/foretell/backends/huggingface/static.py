"""Sentence encoders without a network: the mean of a vector for each token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from foretell.backends.huggingface.sentences import SentenceEncoder
from foretell.backends.huggingface.tokens import MASK, without_token
from foretell.columns import Batch, Dense, Ragged
from foretell.types import ModelSpec


class StaticEncoder(SentenceEncoder):
    """As `SentenceEncoder`. Texts are never cut off: the library takes all of their tokens."""

    def _read(self, dtype: torch.dtype) -> tuple[Any, ModelSpec]:
        made, spec = super()._read(dtype)
        return made if self._settings.precision is None else made.to(dtype), spec

    def _pad(self, made: Any) -> dict[str, float]:
        return {"input_ids": 0.0}

    def _tokens(self, batch: Batch) -> Batch:
        made = self._tokenized(batch)
        ids, starts = (np.asarray(made[name], np.int64) for name in ("input_ids", "offsets"))
        offsets = np.append(starts, len(ids))[: batch.rows + 1]
        columns = {"input_ids": Ragged(Dense(ids), offsets), MASK: Ragged(Dense(np.ones_like(ids)), offsets)}
        return Batch({**columns}, batch.rows, without_token(np.diff(offsets)))

    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        real = tensors[MASK] != 0
        lengths = real.sum(1)
        bags = {"input_ids": tensors["input_ids"][real], "offsets": lengths.cumsum(0) - lengths}
        return {"embedding": network.forward(bags)["sentence_embedding"].float()[..., : self._width]}
