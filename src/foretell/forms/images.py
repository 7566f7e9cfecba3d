"""Image files: their pixels, and how these become one row of what a model takes. Nothing is scaled or guessed."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np

from foretell.columns import Array
from foretell.errors import InvalidInput, missing_extra
from foretell.types import DataType, ModelSpec, Shape, TensorSpec

_CHANNELS = {1: "grey", 3: "RGB"}
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH, _PNG_COLOUR = 24, 25  # where a PNG tells the bits of a sample, and whether it is grey


@dataclass(frozen=True, slots=True)
class Image:
    """The content of an image file. `where` names it."""

    content: bytes = field(repr=False)
    where: str


def decode(content: bytes, where: str) -> Array:
    """The pixels: uint8 [height, width, 3] in RGB, or [height, width] in grey; uint16 for grey of 16 bits.

    Raises `InvalidInput` for what is no image, and for colour of 16 bits a sample, which would lose half of them;
    `MissingExtra` without Pillow.
    """
    try:
        from PIL import Image as Pillow
    except ImportError:
        raise missing_extra("pillow", "images", "reading an image") from None
    deep = content.startswith(_PNG) and content[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10"
    if deep and content[_PNG_COLOUR : _PNG_COLOUR + 1] != b"\0":
        raise InvalidInput("colour of 16 bits a sample is not read", where=where, expected="8 bits, or grey",
                           fix="save it with 8 bits, or give its numbers as .npy")  # fmt: skip
    try:
        with Pillow.open(io.BytesIO(content)) as image:
            if deep:
                return np.asarray(image).astype(np.uint16)
            return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise InvalidInput(f"not a readable image: {error}", where=where) from None


def as_row(image: Image, spec: ModelSpec) -> object:
    """What `to_batch` takes for one image, which is one row.

    The content of the file for an input of BYTES, and where the model does not tell its inputs, as a predictor with a
    `preprocess` of its own does not: what a client would send. Else the pixels, in the layout of the input: [H, W, 3]
    and [3, H, W] in RGB; [H, W], [1, H, W] and [H, W, 1] in grey. Raises `InvalidInput` where they do not fit.
    """
    tensor = spec.inputs[0] if spec.inputs is not None and len(spec.inputs) == 1 else None
    if spec.inputs is None or (tensor is not None and tensor.datatype is DataType.BYTES):
        return image.content
    pixels = decode(image.content, image.where)
    if tensor is None:
        return pixels
    if tensor.shape is None:
        return pixels if spec.batch is None else pixels[np.newaxis]
    row = arranged(pixels, tensor.shape)
    if row is None:
        raise _wrong(pixels, tensor, tensor.shape, image.where)
    return row


def arranged(pixels: Array, shape: Shape) -> Array | None:
    """The pixels with their axes as in `shape`, or None where they do not fit. The values stay as they are.

    The axis of channels is the one that `shape` fixes at 1 or 3: the first, unless only the last is. A model without an
    axis of rows may have an axis of one in front.
    """
    if len(shape) == 4 and shape[0] == 1:
        inner = arranged(pixels, shape[1:])
        return None if inner is None else inner[np.newaxis]
    made = pixels
    if len(shape) == 3 and pixels.ndim == 2 and 1 in (shape[0], shape[-1]):
        made = pixels[np.newaxis] if channels_first(shape) else pixels[..., np.newaxis]
    elif channels_first(shape) and pixels.ndim == 3:
        made = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    fits = len(made.shape) == len(shape) and all(
        want in (None, size) for want, size in zip(shape, made.shape, strict=True)
    )
    return made if fits else None


def channels_first(shape: Shape) -> bool:
    """Whether the spec of a row says [C, H, W]: one or three in front, and not at the end too."""
    return len(shape) == 3 and shape[0] in _CHANNELS and shape[-1] not in _CHANNELS


def _wrong(pixels: Array, tensor: TensorSpec, shape: Shape, where: str) -> InvalidInput:
    came = f"{pixels.shape[1]} x {pixels.shape[0]} pixels in {_CHANNELS[3 if pixels.ndim == 3 else 1]}"
    return InvalidInput("the image does not fit the model", where=where, expected=_expected(tensor, shape), got=came,
                        fix="save it so, or let the preprocess of a BasePredictor scale it")  # fmt: skip


def _expected(tensor: TensorSpec, shape: Shape) -> str:
    inner = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    described = f"input {tensor.name!r} {tensor.describe()}"
    if len(inner) == 2:
        channels: int | None = 1
        height, width = inner
    elif channels_first(inner):
        channels, height, width = inner
    elif len(inner) == 3:
        height, width, channels = inner
    else:
        return described
    size = "any size" if height is None and width is None else f"{width or 'any'} x {height or 'any'} pixels"
    return f"{size} in {_CHANNELS.get(channels or 3, f'{channels} channels')} ({described})"
