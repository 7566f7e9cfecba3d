"""The classes of a model, and how its network's numbers become probabilities: as the pipelines do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch

from foretell.columns import Batch, Bytes, Dense
from foretell.errors import InvalidModel
from foretell.types import DataType, TensorSpec


@dataclass(frozen=True, slots=True)
class Classes:
    """`several`: more than one of them may hold, so that each has a probability of its own."""

    names: tuple[str, ...]
    several: bool

    @classmethod
    def of(cls, config: Any, where: str) -> Self:
        """Raises `InvalidModel` for a network that gives numbers, not classes."""
        if config.problem_type == "regression":
            raise InvalidModel("a regression is not served as classes", where=where)
        several = config.problem_type == "multi_label_classification" or config.num_labels == 1
        return cls(tuple(str(config.id2label[at]) for at in range(config.num_labels)), several)

    def outputs(self) -> tuple[TensorSpec, ...]:
        return (
            TensorSpec("label", DataType.BYTES, ()),
            TensorSpec("probabilities", DataType.FP32, (len(self.names),)),
        )

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """[rows, classes]."""
        return logits.float().sigmoid() if self.several else logits.float().softmax(-1)

    def labelled(self, batch: Batch) -> Batch:
        """With the likeliest class of each row."""
        found = batch.columns.get("probabilities")
        if not isinstance(found, Dense):
            return batch
        labels = Bytes.of([self.names[at] for at in found.data.argmax(axis=1).tolist()])
        return Batch({"label": labels, "probabilities": found}, batch.rows, batch.errors)
