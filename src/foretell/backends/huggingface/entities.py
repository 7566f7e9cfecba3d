"""Models of `transformers` that find entities in texts: names, places, parts of speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import transformers

from foretell.backends.huggingface.texts import TextModel
from foretell.backends.huggingface.tokens import columns_of
from foretell.columns import Array, Batch, Bytes, Column, Dense, Ragged
from foretell.errors import InvalidModel
from foretell.forms.values import to_python
from foretell.model import Context
from foretell.types import DataType, ModelSpec, TensorSpec

_OUTPUTS = {"label": DataType.BYTES, "score": DataType.FP32, "start": DataType.INT64, "end": DataType.INT64,
            "word": DataType.BYTES}  # fmt: skip
_PLACES = ("start", "end", "kept")
_NONE = "O"


class EntityModel(TextModel):
    """Input: `text` BYTES. Outputs, one value for each entity of a text, in its order: `label` BYTES, `score` FP32,
    `start` and `end` INT64, places in its characters, and `word` BYTES, what stands there. They are those of the
    library's pipeline with `aggregation_strategy="simple"`: neighbouring tokens of one entity are one, its score their
    mean, and tokens of no entity ("O") are left out."""

    _beside = _PLACES

    def _kind(self) -> tuple[Any, tuple[str, ...]]:
        return transformers.AutoModelForTokenClassification, ()

    def _answers_of(self, network: Any) -> ModelSpec:
        if not self._tokenizer.is_fast:
            what = "its tokenizer does not tell where in a text a token stands"
            raise InvalidModel(what, where=str(self._path), fix="save a fast one, with a tokenizer.json")
        names = [str(network.config.id2label[at]) for at in range(network.config.num_labels)]
        self._names = [name.partition("-")[2] or name for name in names]
        tags = [name[2:] if name.startswith(("B-", "I-")) else name for name in names]
        self._tags = np.array([tags.index(tag) for tag in tags])
        self._begins = np.array([name.startswith("B-") for name in names])
        return ModelSpec(outputs=tuple(TensorSpec(name, kind, (None,)) for name, kind in _OUTPUTS.items()))

    def _tokens(self, batch: Batch) -> Batch:
        made = self._tokenized(batch, return_offsets_mapping=True, return_special_tokens_mask=True)
        start, end = np.moveaxis(np.asarray(made["offset_mapping"], np.int64), -1, 0)
        kept = 1 - np.asarray(made["special_tokens_mask"], np.int64)
        tokens = {**self._numbers(made), **dict(zip(_PLACES, (start, end, kept), strict=True))}
        found = columns_of(tokens, max(1, batch.rows)).slice(0, batch.rows)
        return Batch({**found.columns, "text": batch.columns["text"]}, batch.rows, found.errors)

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        numbers = {name: column for name, column in batch.columns.items() if name != "text"}
        found = super().predict(Batch(numbers, batch.rows), ctx)
        return Batch({**found.columns, "text": batch.columns["text"]}, batch.rows, found.errors)

    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        answer = network(**{name: tensor for name, tensor in tensors.items() if name in self._takes})
        return {"logits": answer.logits.float(), **{name: tensors[name] for name in _PLACES}}

    def _told(self, answer: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        score, chosen = answer["logits"].softmax(-1).max(-1)
        return {"class": chosen, "score": score, **{name: answer[name] for name in _PLACES}}

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        texts = to_python(batch.columns["text"])
        tokens = [_rows(batch.columns[name]) if texts else [] for name in ("class", "score", *_PLACES)]
        found = [self._entities(*row) for row in zip(texts, *tokens, strict=True)]
        offsets = np.cumsum([0, *(len(row) for row in found)], dtype=np.int64)
        cells = list(zip(*(entity for row in found for entity in row), strict=True)) or [()] * len(_OUTPUTS)
        columns = {
            name: Ragged(_column(kind, values), offsets)
            for (name, kind), values in zip(_OUTPUTS.items(), cells, strict=True)
        }
        return Batch(columns, batch.rows, batch.errors)

    def _entities(
        self, text: str | None, chosen: Array, score: Array, start: Array, end: Array, kept: Array
    ) -> list[tuple[Any, ...]]:
        """The entities of one text, as `_OUTPUTS` has them."""
        real = kept == 1
        chosen, score, start, end = chosen[real], score[real], start[real], end[real]
        if not text or not len(chosen):
            return []
        tags = self._tags[chosen]
        new = self._begins[chosen] | np.r_[True, tags[1:] != tags[:-1]]
        found = []
        for first, after in pairwise([*np.flatnonzero(new | (np.arange(len(new)) == 0)).tolist(), len(chosen)]):
            name, place = self._names[chosen[first]], (int(start[first]), int(end[after - 1]))
            if name != _NONE:
                found.append((name, score[first:after].mean(), *place, text[slice(*place)]))
        return found


def _rows(column: Column) -> list[Array]:
    if isinstance(column, Ragged) and isinstance(column.values, Dense):
        return [column.values.data[first:after] for first, after in pairwise(column.offsets.tolist())]
    return list(column.data) if isinstance(column, Dense) else []


def _column(kind: DataType, values: Sequence[Any]) -> Dense | Bytes:
    return Bytes.of(list(values)) if kind is DataType.BYTES else Dense(np.array(values, kind.numpy))
