"""Models of `transformers` that take texts: classes of them, and a vector for each token."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import transformers

from foretell.backends.huggingface.alone import FEATURES
from foretell.backends.huggingface.classes import Classes, Score
from foretell.backends.huggingface.folder import RANKING, activation_of
from foretell.backends.huggingface.network import LOCAL, SPARE, Network, quiet, whole_network
from foretell.backends.huggingface.tokens import MASK, columns_of, plain_texts
from foretell.backends.text_rows import answer_others, rows_without_text
from foretell.columns import Array, Batch
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, NotReady
from foretell.forms.values import to_python
from foretell.model import Context
from foretell.types import DataType, ModelSpec, TensorSpec

_MOST_TOKENS = 1_000_000
"""A tokenizer that knows no longest text says a number beyond all meaning."""
_TEXTS = {"input_ids", "inputs"}
_POSITIONS = ("position_embeddings", "position_embedding", "embed_positions", "wpe")
"""What tables of positions are called in the networks of the library."""


class TextModel(Network):
    """Input: `text` BYTES; of text-ranking `text_pair` BYTES, too. Outputs: of text-classification `label` BYTES and
    `probabilities` FP32 [classes], as its pipeline computes them (sigmoid where several classes may hold, else
    softmax), of a regression `prediction` FP32; of text-ranking `score` FP32, as `CrossEncoder.predict` gives it, and
    as of text-classification where the pair has classes; of feature-extraction `features` FP32 [tokens, width]. Longer
    texts are cut off at what the model takes, of a pair the longer one first."""

    _beside: ClassVar[tuple[str, ...]] = ()
    """What goes to the network's side of a call with the tokens, one number for each."""

    def __init__(self, path: Path, settings: ModelSettings, task: str) -> None:
        super().__init__(path, settings)
        self._task = task
        self._tokenizer: Any = None
        self._inputs = ("text", "text_pair") if task == RANKING else ("text",)
        self._head: Classes | Score | None = None
        self._most: int | None = None
        self._takes: frozenset[str] = frozenset()

    def _read(self, dtype: torch.dtype) -> tuple[Any, ModelSpec]:
        kind, spare = self._kind()
        network = whole_network(kind, self._path, dtype, spare)
        self._takes = frozenset(inspect.signature(network.forward).parameters)
        if not _TEXTS & self._takes or "pixel_values" in self._takes:
            what, fix = "its network does not take texts alone", "export it to ONNX, or serve it from a Python class"
            raise InvalidModel(what, where=str(self._path), got=type(network).__name__, fix=fix)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(self._path, **LOCAL)
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
        longest = min(self._tokenizer.model_max_length, _longest(network))
        self._most = longest if longest < _MOST_TOKENS else None
        names = [name for name in self._tokenizer.model_input_names if name != MASK]
        fill = dict.fromkeys((*names, MASK, *self._beside), 0.0)
        fill["input_ids"] = float(self._tokenizer.pad_token_id or 0)
        texts = tuple(TensorSpec(name, DataType.BYTES, ()) for name in self._inputs)
        return network, replace(self._answers_of(network), inputs=texts, pad=fill)

    def _kind(self) -> tuple[Any, tuple[str, ...]]:
        """The class of the network, and which of its weights may be missing."""
        if self._task in ("text-classification", RANKING):
            return transformers.AutoModelForSequenceClassification, ()
        return _encoder_of(self._path), SPARE

    def _answers_of(self, network: Any) -> ModelSpec:
        """The outputs and their labels."""
        if self._task == "feature-extraction":
            width = getattr(network.config, "hidden_size", None)
            return ModelSpec(outputs=(TensorSpec(FEATURES, DataType.FP32, (None, width)),))
        if self._task == RANKING and network.config.num_labels == 1:
            self._head = Score(activation_of(network.config.to_dict(), self._path))
        else:
            self._head = Classes.of(network.config)
        return ModelSpec(outputs=self._head.outputs(), labels=self._head.labels())

    def _plain(self) -> Batch:
        one = plain_texts().columns["text"]
        return Batch(dict.fromkeys(self._inputs, one), 2)

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._network is None:
            raise NotReady("the model is not loaded, or closed", where=self._where)
        return answer_others(batch, rows_without_text(batch, self._inputs), self._tokens)

    def _tokens(self, batch: Batch) -> Batch:
        tokens = self._numbers(self._tokenized(batch))
        return columns_of(tokens, max(1, batch.rows)).slice(0, batch.rows)

    def _tokenized(self, batch: Batch, **more: bool) -> Mapping[str, Any]:
        """What the tokenizer makes of the texts, of an empty one where there are none. `more`: what it shall tell."""
        texts = [to_python(batch.columns[name]) or [""] for name in self._inputs]
        with quiet():
            made: Mapping[str, Any] = self._tokenizer(
                *texts, padding=True, truncation=self._most is not None, max_length=self._most,
                return_attention_mask=True, return_tensors="np", **more,
            )  # fmt: skip
        return made

    def _numbers(self, made: Mapping[str, Any]) -> dict[str, Array]:
        """Of what it makes, what the network may take."""
        names = dict.fromkeys((*self._tokenizer.model_input_names, MASK))
        return {name: np.asarray(made[name], np.int64) for name in names if name in made}

    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        answer = network(**{name: tensor for name, tensor in tensors.items() if name in self._takes})
        return {FEATURES: answer[0].float()} if self._head is None else {"logits": answer.logits.float()}

    def _told(self, answer: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        return answer if self._head is None else self._head.told(answer["logits"])

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        return batch if self._head is None else self._head.labelled(batch)


def _encoder_of(path: Path) -> Any:
    """The class of a network that gives features: half of one that also writes texts, where only that half is there."""
    names = transformers.AutoConfig.from_pretrained(path, **LOCAL).architectures or ()
    halves = any(str(name).endswith("EncoderModel") for name in names)
    return transformers.AutoModelForTextEncoding if halves else transformers.AutoModel


def _longest(network: Any) -> int:
    """Tokens that the network has positions for, where it keeps a table of them: others take texts of any length."""
    sizes = []
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Embedding) and name.rpartition(".")[2] in _POSITIONS:
            before = getattr(module, "offset", 0) or (0 if module.padding_idx is None else module.padding_idx + 1)
            sizes.append(module.num_embeddings - before)
    said = int(getattr(network.config, "max_position_embeddings", 0) or 0)
    return min(sizes if said <= 0 else (*sizes, said)) if sizes else _MOST_TOKENS
