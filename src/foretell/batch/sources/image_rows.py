"""An image file as one row of what a model takes: decoded, resized, and its numbers in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.batch.sources import decoding, resizing
from foretell.batch.sources.image_options import ImageOptions
from foretell.columns import Array
from foretell.errors import InvalidInput, InvalidSetting
from foretell.forms.images import arranged, channels_first, does_not_fit
from foretell.types import DataType, ModelSpec, TensorSpec

_FREE = 3


@dataclass(frozen=True, slots=True)
class _Size:
    """Of the images that a model takes."""

    height: int
    width: int
    channels: int


class ImageRows:
    """Makes rows for one input of a model, which takes numbers. Not safe from several threads."""

    def __init__(self, tensor: TensorSpec, spec: ModelSpec, options: ImageOptions) -> None:
        """Raises `InvalidSetting` for options that the input leaves nothing to do."""
        self._tensor, self._options = tensor, options
        shape, self._without_rows = tensor.shape, spec.batch is None
        self.shape = None if shape is None or None in shape else tuple(size or 0 for size in shape)
        """Of every row, where the model fixes it."""
        self._size = _size_of(self.shape)
        _check(tensor, options, self._size)
        self._datatype = _computed(tensor.datatype, options)
        channels = self._size.channels if self._size is not None else _FREE
        self._factors = options.factors(channels)
        self._decoder, self._cv2 = decoding.jpeg_decoder(), resizing.resampler()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers of a row."""
        return self._datatype

    def write(self, content: bytes, where: str, row: Array) -> None:
        """Puts the image into `row`, of `shape` and `dtype`. Raises `InvalidInput` where it does not fit."""
        size = self._size
        if size is None:
            raise TypeError("the rows have no fixed shape")
        pixels = self._colours(self._pixels(content, where), size.channels, where)
        if pixels.shape[:2] != (size.height, size.width):
            raise does_not_fit(pixels, self._tensor, where, _FIX)
        flat = row.reshape(row.shape[-3:]) if row.ndim == 4 else row
        planes = flat if channels_first(flat.shape) or flat.ndim == 2 else flat.transpose(2, 0, 1)
        self._fill(pixels, planes if planes.ndim == 3 else planes[np.newaxis])

    def made(self, content: bytes, where: str) -> Array:
        """The image as a row of whatever size it has. Raises `InvalidInput` where it does not fit."""
        pixels = self._pixels(content, where)
        pixels = self._colours(pixels, 1 if pixels.ndim == 2 else _FREE, where)
        planes = np.empty((_FREE if pixels.ndim == 3 else 1, *pixels.shape[:2]), self._datatype)
        if pixels.ndim == 2 and max(map(len, (self._options.mean, self._options.std))) > 1:
            raise InvalidInput("the image is grey", where=where, expected="colour, as --mean and --std have it")
        self._fill(pixels, planes)
        row = planes[0] if pixels.ndim == 2 else planes.transpose(1, 2, 0)
        shape = self._tensor.shape
        if shape is None:
            return row[np.newaxis] if self._without_rows else row
        placed = arranged(row, shape)
        if placed is None:
            raise does_not_fit(pixels, self._tensor, where, "save it so, or leave it out")
        return placed

    def _pixels(self, content: bytes, where: str) -> Array:
        how, size = self._options.resize, self._size
        if how is None or size is None:
            return decoding.decode(content, where, None, self._decoder)
        target = size.height, size.width

        def least(height: int, width: int) -> tuple[int, int]:
            return resizing.least(how, height, width, target)

        pixels = decoding.decode(content, where, least, self._decoder)
        return resizing.resized(pixels, how, target, self._cv2)

    def _colours(self, pixels: Array, channels: int, where: str) -> Array:
        """Grey in three channels where the model takes colour: nothing is lost. Colour never becomes grey."""
        if pixels.dtype == np.uint16 and (channels > 1 or self._options.counts or self._datatype == np.uint8):
            raise InvalidInput("the image has 16 bits", where=where, expected="8 bits", fix="save it with 8 bits")
        if channels == 1 and pixels.ndim == 3:
            raise does_not_fit(pixels, self._tensor, where, "save it in grey")
        if channels > 1 and pixels.ndim == 2:
            return np.broadcast_to(pixels[..., np.newaxis], (*pixels.shape, channels))
        return pixels

    def _fill(self, pixels: Array, planes: Array) -> None:
        """Puts the numbers of `pixels` into `planes` [channels, height, width], each channel in place."""
        if pixels.ndim == 2:
            planes[0] = pixels
        else:
            np.copyto(planes, (pixels[..., ::-1] if self._options.channels == "BGR" else pixels).transpose(2, 0, 1))
        if not self._options.counts:
            return
        for plane, by, less in zip(planes, *self._factors, strict=False):
            plane *= by
            if less:
                plane -= less


_FIX = "save it so, or let the job make it so: --resize fit, crop or stretch"


def _size_of(shape: tuple[int, ...] | None) -> _Size | None:
    inner = shape[1:] if shape is not None and len(shape) == 4 and shape[0] == 1 else shape
    if inner is None:
        return None
    if len(inner) == 2:
        return _Size(*inner, 1)
    if len(inner) == 3 and channels_first(inner):
        return _Size(inner[1], inner[2], inner[0])
    return _Size(*inner) if len(inner) == 3 and inner[2] in (1, 3) else None


def _check(tensor: TensorSpec, options: ImageOptions, size: _Size | None) -> None:
    described = f"input {tensor.name!r} {tensor.describe()}"
    if tensor.shape is not None and None not in tensor.shape and size is None:
        raise InvalidInput("the model takes no images", where=described, expected="[3, H, W], [H, W, 3] or [H, W]")
    if options.resize is not None and size is None:
        raise InvalidSetting("--resize has no size to go by: the model does not fix one", where=described,
                             fix="leave it out, and give images as the model takes them")  # fmt: skip
    if options.counts and tensor.datatype is not None and not tensor.datatype.is_float:
        raise InvalidSetting("--scale, --mean and --std give fractions, and the model takes whole numbers",
                             where=described, fix="leave them out")  # fmt: skip
    if options.channels == "BGR" and size is not None and size.channels == 1:
        raise InvalidSetting("--channels has nothing to order: the model takes grey images", where=described)


def _computed(datatype: DataType | None, options: ImageOptions) -> np.dtype[Any]:
    """What rows are made of: what the model takes where NumPy can compute in it well, else what is fitted to it."""
    if datatype is None:
        return np.dtype(np.float32 if options.counts else np.uint8)
    if datatype is DataType.FP64:
        return np.dtype(np.float64)
    if datatype.is_float:
        return np.dtype(np.float32)
    return np.dtype(np.uint8 if datatype in (DataType.UINT8, DataType.INT8) else np.uint16)
