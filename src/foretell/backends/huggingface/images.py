"""Models of `transformers` that take images: classes of them, and features."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image, ImageOps

from foretell.backends.huggingface.alone import FEATURES
from foretell.backends.huggingface.classes import Classes
from foretell.backends.huggingface.network import LOCAL, SPARE, Network, quiet, whole_network
from foretell.backends.text_rows import answer_others
from foretell.columns import Array, Batch, Bytes, Dense
from foretell.config import ModelSettings
from foretell.errors import InvalidInput, InvalidModel, NotReady, RowError
from foretell.forms.images import opened
from foretell.model import Context
from foretell.types import DataType, ModelSpec, TensorSpec

_PLAIN = ((96, 64), (64, 80))


class ImageModel(Network):
    """Input: `image` BYTES, the content of a JPEG, PNG, WebP, BMP or GIF. Outputs: of image-classification `label`
    BYTES and `probabilities` FP32 [classes], of a regression `prediction` FP32; of image-feature-extraction `features`
    FP32, the last hidden state. Images are turned as the camera noted and made RGB, and the model's own processor
    scales and normalises them, as in the pipelines; an image that cannot be read fails its row alone."""

    def __init__(self, path: Path, settings: ModelSettings, task: str) -> None:
        super().__init__(path, settings)
        self._task = task
        self._classes: Classes | None = None

    def _read(self, dtype: torch.dtype) -> tuple[Any, ModelSpec]:
        self._processor = transformers.AutoImageProcessor.from_pretrained(self._path, **LOCAL)
        self._dtype, image = dtype, (TensorSpec("image", DataType.BYTES, ()),)
        self._check_sizes()
        if self._task != "image-classification":
            network = whole_network(transformers.AutoModel, self._path, dtype, spare=SPARE)
            if "input_ids" in inspect.signature(network.forward).parameters:
                what = "its network takes texts beside images"
                raise InvalidModel(what, where=str(self._path), got=type(network).__name__)
            return network, ModelSpec(image, (TensorSpec(FEATURES, DataType.FP32),))
        network = whole_network(transformers.AutoModelForImageClassification, self._path, dtype)
        self._classes = Classes.of(network.config)
        return network, ModelSpec(image, self._classes.outputs(), labels=self._classes.labels())

    def _check_sizes(self) -> None:
        """Raises `InvalidModel` for a processor that leaves images as large as they are: they would share no call."""
        sizes = {self._scaled([Image.new("RGB", size)]).shape for size in _PLAIN}
        if len(sizes) > 1:
            fix = "give its preprocessor_config.json a size, and do_resize"
            raise InvalidModel("its processor does not bring images to one size", where=str(self._path), fix=fix)

    def _plain(self) -> Batch:
        return Batch({"image": Bytes.of([_png(size) for size in _PLAIN])}, len(_PLAIN))

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._network is None:
            raise NotReady("the model is not loaded, or closed", where=self._where)
        column, images, bad = batch.columns["image"], [], {}
        for row, content in enumerate(column.items() if isinstance(column, Bytes) else []):
            try:
                with opened(content, f"image of row {row}") as image:
                    images.append(ImageOps.exif_transpose(image).convert("RGB"))
            except InvalidInput as error:
                bad[row] = RowError.of(error)
        return answer_others(batch, bad, lambda rest: self._pixels(images or [Image.new("RGB", _PLAIN[0])], rest.rows))

    def _pixels(self, images: list[Image.Image], rows: int) -> Batch:
        return Batch({"pixel_values": Dense(self._scaled(images)[:rows])}, rows)

    def _scaled(self, images: list[Image.Image]) -> Array:
        with quiet():
            made = self._processor(images=images, return_tensors="np")
        return np.asarray(made["pixel_values"], np.float32)

    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        answer = network(pixel_values=tensors["pixel_values"].to(self._dtype))
        return {FEATURES: answer[0].float()} if self._classes is None else {"logits": answer.logits.float()}

    def _told(self, answer: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        return answer if self._classes is None else self._classes.told(answer["logits"])

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        return batch if self._classes is None else self._classes.labelled(batch)


def _png(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    return file.getvalue()
