"""Image files: their pixels, and how these become one row of what a model takes. Nothing is scaled or guessed."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from foretell.columns import Array
from foretell.errors import InvalidInput
from foretell.extras import needs
from foretell.types import DataType, ModelSpec, Shape, TensorSpec
from foretell.warning_filters import alone

if TYPE_CHECKING:
    import PIL.Image

_CHANNELS = {1: "grey", 3: "RGB"}
JPEG = b"\xff\xd8"
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""Others have decoders that nobody looks at, or run programs."""
_REDUCTIONS = (8, 4, 2)
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_PIXELS = 89_478_485
"""As many as Pillow takes without a warning: 256 MiB in RGB."""
_PNG_DEPTH, _PNG_COLOUR = 24, 25  # where a PNG tells the bits of a sample, and whether it is grey


Least = Callable[[int, int], tuple[int, int]]
"""From height and width of an image to those that its pixels must have at least."""


@dataclass(frozen=True, slots=True)
class Image:
    """The content of an image file. `where` names it."""

    content: bytes = field(repr=False)
    where: str


def decode(content: bytes, where: str, least: Least | None = None) -> Array:
    """The pixels: uint8 [height, width, 3] in RGB, or [height, width] in grey; uint16 for grey of 16 bits.

    Of an animation its first picture; turned as the pixels are stored, whatever the camera has noted. `least`: see
    `reduction`. Raises `InvalidInput` for what is no image, for one that would
    take too much memory, and for colour of 16 bits a sample, which would lose half of them; `MissingExtra` without
    Pillow.
    """
    deep = content.startswith(_PNG) and content[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10"
    if deep and content[_PNG_COLOUR : _PNG_COLOUR + 1] != b"\0":
        raise InvalidInput("colour of 16 bits a sample is not read", where=where, expected="8 bits, or grey",
                           fix="save it with 8 bits, or give its numbers as .npy")  # fmt: skip
    with opened(content, where) as image:
        by = reduction(image.height, image.width, least) if content.startswith(JPEG) else 1
        if by > 1:
            image.draft(image.mode, (image.width // by, image.height // by))
        if deep:
            return np.asarray(image).astype(np.uint16)
        return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))


@contextlib.contextmanager
def opened(content: bytes, where: str) -> Iterator[PIL.Image.Image]:
    """An image of Pillow, whose pixels are not read yet. Errors that come inside, too, are those of `decode`."""
    with needs("pillow", "images", "reading an image"):
        from PIL import Image as Pillow
        from PIL import UnidentifiedImageError
    try:
        with alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # we say it below, as an error
            found = Pillow.open(io.BytesIO(content), formats=_FORMATS)
        with found as image:
            check_size(image.height, image.width, where)
            yield image
    except UnidentifiedImageError:
        kind = "the file is empty" if not content else "not a readable image"
        raise InvalidInput(kind, where=where, expected="JPEG, PNG, WebP, BMP or GIF") from None
    except Pillow.DecompressionBombError:
        raise _too_large(where, "") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidInput(f"not a readable image: {error}", where=where) from None


def reduction(height: int, width: int, least: Least | None) -> int:
    """By how much a JPEG may be decoded smaller, so that it still has the pixels that are wanted `least` on each side.

    Only 2, 4 and 8: other fractions cost more than they save. The decoder averages, so nothing is lost for what is
    shrunk to that afterwards.
    """
    if least is None:
        return 1
    high, wide = least(height, width)
    return next((by for by in _REDUCTIONS if -(-height // by) >= high and -(-width // by) >= wide), 1)


def check_size(height: int, width: int, where: str) -> None:
    """Raises `InvalidInput` for an image whose pixels would take too much memory, before they take any."""
    if height * width > _MOST_PIXELS:
        raise _too_large(where, f"{width:,} x {height:,}")


def _too_large(where: str, got: str) -> InvalidInput:
    return InvalidInput("the image is too large", where=where, expected=f"at most {_MOST_PIXELS:,} pixels", got=got,
                        fix="save it smaller")  # fmt: skip


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
        fix = "save it so, or let the preprocess of a BasePredictor scale it"
        raise does_not_fit(pixels, tensor, image.where, fix)
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


def does_not_fit(pixels: Array, tensor: TensorSpec, where: str, fix: str) -> InvalidInput:
    """The error of an image that is not as the input has it."""
    came = f"{pixels.shape[1]} x {pixels.shape[0]} pixels in {_CHANNELS[3 if pixels.ndim == 3 else 1]}"
    expected = _expected(tensor, tensor.shape or ())
    return InvalidInput("the image does not fit the model", where=where, expected=expected, got=came, fix=fix)


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
