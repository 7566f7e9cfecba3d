"""Models of `transformers` that tell what is in an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import transformers

from foretell.backends.huggingface.classes import Classes
from foretell.backends.huggingface.network import Network, quiet
from foretell.backends.text_rows import answer_others
from foretell.columns import Array, Batch, Bytes, Dense
from foretell.errors import InvalidInput, NotReady, RowError
from foretell.forms.images import decode
from foretell.model import Context
from foretell.types import DataType, ModelSpec, TensorSpec


class ImageClassifier(Network):
    """Input: `image` BYTES, the content of a JPEG, PNG, WebP, BMP or GIF. Outputs: `label` BYTES, `probabilities` FP32
    [classes]. The model's own processor scales and normalises; an image that cannot be read fails its row alone."""

    def _read(self, dtype: torch.dtype) -> tuple[Any, ModelSpec]:
        alone = {"local_files_only": True, "trust_remote_code": False}
        self._processor = transformers.AutoImageProcessor.from_pretrained(self._path, **alone)
        network = transformers.AutoModelForImageClassification.from_pretrained(
            self._path, dtype=dtype, use_safetensors=True, **alone
        )
        self._dtype = dtype
        self._classes = Classes.of(network.config, str(self._path))
        labels = {"probabilities": self._classes.names}
        return network, ModelSpec((TensorSpec("image", DataType.BYTES, ()),), self._classes.outputs(), labels=labels)

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._network is None:
            raise NotReady("the model is not loaded, or closed", where=self._where)
        column, images, bad = batch.columns["image"], [], {}
        for row, content in enumerate(column.items() if isinstance(column, Bytes) else []):
            try:
                images.append(_coloured(decode(content, f"image of row {row}")))
            except InvalidInput as error:
                bad[row] = RowError.of(error)
        return answer_others(batch, bad, lambda rest: self._pixels(images, rest.rows))

    def _pixels(self, images: list[Array], rows: int) -> Batch:
        with quiet():
            made = self._processor(images=images or [np.zeros((8, 8, 3), np.uint8)], return_tensors="np")
        return Batch({"pixel_values": Dense(np.asarray(made["pixel_values"], np.float32)[:rows])}, rows)

    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        logits = network(pixel_values=tensors["pixel_values"].to(self._dtype)).logits
        return {"probabilities": self._classes.probabilities(logits)}

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        return self._classes.labelled(batch)


def _coloured(pixels: Array) -> Array:
    """In three channels of 8 bits, as the processors take them."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
