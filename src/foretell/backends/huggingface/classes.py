"""The classes or the score of a model, and how its network's numbers become them: as the libraries do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import torch

from foretell.columns import Batch, Bytes, Dense
from foretell.types import DataType, TensorSpec


@dataclass(frozen=True, slots=True)
class Classes:
    """`kind`: one of them holds; several may, so that each has a probability of its own; or they are numbers, of a
    regression."""

    names: tuple[str, ...]
    kind: Literal["one", "several", "numbers"]

    @classmethod
    def of(cls, config: Any) -> Self:
        names = tuple(str(config.id2label[at]) for at in range(config.num_labels))
        if config.problem_type == "regression":
            return cls(names, "numbers")
        several = config.problem_type == "multi_label_classification" or config.num_labels == 1
        return cls(names, "several" if several else "one")

    def outputs(self) -> tuple[TensorSpec, ...]:
        count = len(self.names)
        if self.kind == "numbers":
            return (TensorSpec("prediction", DataType.FP32, () if count == 1 else (count,)),)
        return (TensorSpec("label", DataType.BYTES, ()), TensorSpec("probabilities", DataType.FP32, (count,)))

    def labels(self) -> dict[str, tuple[str, ...]] | None:
        """Of the outputs, as a spec has them."""
        return None if self.kind == "numbers" else {"probabilities": self.names}

    def told(self, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        """What leaves the model as numbers. `logits`: [rows, classes]."""
        logits = logits.float()
        if self.kind == "numbers":
            return {"prediction": logits[:, 0] if len(self.names) == 1 else logits}
        return {"probabilities": logits.sigmoid() if self.kind == "several" else logits.softmax(-1)}

    def labelled(self, batch: Batch) -> Batch:
        """With the likeliest class of each row."""
        found = batch.columns.get("probabilities")
        if not isinstance(found, Dense):
            return batch
        labels = Bytes.of([self.names[at] for at in found.data.argmax(axis=1).tolist()])
        return Batch({"label": labels, "probabilities": found}, batch.rows, batch.errors)


@dataclass(frozen=True, slots=True)
class Score:
    """How well two texts fit: one number, as a cross-encoder gives it. `activation`: "Sigmoid" or "Identity"."""

    activation: str

    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("score", DataType.FP32, ()),)

    def labels(self) -> None:
        """There are none."""

    def told(self, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        """What leaves the model. `logits`: [rows, 1]."""
        score = logits.float()[:, 0]
        return {"score": score.sigmoid() if self.activation == "Sigmoid" else score}

    def labelled(self, batch: Batch) -> Batch:
        """As it is."""
        return batch
