"""Images made as large as a model takes them: pure geometry, and the resampling.

Shrinking averages, as Pillow's bilinear filter does, which most models were trained with: each pixel is a weighted mean
of all that it stands for, with weights that fall off linearly. OpenCV alone would skip pixels (its bilinear) or take
five times longer (its area), so the image is first smoothed as much as that filter smooths, then sampled.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from foretell.columns import Array

Resize = Literal["fit", "crop", "stretch"]
RESIZES: tuple[Resize, ...] = ("fit", "crop", "stretch")

_AT_ONCE = 4.0
"""Beyond this, sizes are averaged down to twice the target first: smoothing far costs more than that."""
_VARIANCE = 1.2 / 6
"""Of a triangle one wide is 1/6; the rest makes up for what sampling between two pixels smooths less than it."""


def resampler() -> Any:
    """OpenCV, which is to use no threads of its own, or None where it is not installed."""
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(1)
    return cv2


def inner(height: int, width: int, target: tuple[int, int]) -> tuple[int, int]:
    """The size at which an image lies inside the target, with bars beside it."""
    by = min(target[0] / height, target[1] / width)
    return max(1, min(target[0], round(height * by))), max(1, min(target[1], round(width * by)))


def least(how: Resize, height: int, width: int, target: tuple[int, int]) -> tuple[int, int]:
    """The size that an image must have at least, so that it is not enlarged on its way to the target."""
    return inner(height, width, target) if how == "fit" else target


def middle(pixels: Array, target: tuple[int, int]) -> Array:
    """The largest part in the middle that has the shape of the target."""
    height, width = pixels.shape[:2]
    by = min(height / target[0], width / target[1])
    high, wide = max(1, min(height, round(target[0] * by))), max(1, min(width, round(target[1] * by)))
    top, left = (height - high) // 2, (width - wide) // 2
    return pixels[top : top + high, left : left + wide]


def resized(pixels: Array, how: Resize, target: tuple[int, int], cv2: Any) -> Array:
    """The pixels at the size of the target (height, width). `cv2`: of `resampler`.

    fit: all of the image, black beside it; crop: its middle; stretch: all of it, in other proportions.
    """
    if how == "crop":
        return sampled(middle(pixels, target), target, cv2)
    if how == "stretch":
        return sampled(pixels, target, cv2)
    high, wide = inner(pixels.shape[0], pixels.shape[1], target)
    made = np.zeros((*target, *pixels.shape[2:]), pixels.dtype)
    top, left = (target[0] - high) // 2, (target[1] - wide) // 2
    made[top : top + high, left : left + wide] = sampled(pixels, (high, wide), cv2)
    return made


def sampled(pixels: Array, target: tuple[int, int], cv2: Any) -> Array:
    """The pixels at another size."""
    if pixels.shape[:2] == target:
        return pixels
    if cv2 is None:
        return _by_pillow(pixels, target)
    height, width = pixels.shape[:2]
    tall, broad = height / target[0], width / target[1]
    if max(tall, broad) > _AT_ONCE:
        high, wide = min(height, 2 * target[0]), min(width, 2 * target[1])
        pixels = cv2.resize(pixels, (wide, high), interpolation=cv2.INTER_AREA)
        tall, broad = high / target[0], wide / target[1]
    if max(tall, broad) > 1:
        kernel = _kernel(broad), _kernel(tall)
        pixels = cv2.GaussianBlur(pixels, kernel, sigmaX=_sigma(broad), sigmaY=_sigma(tall),
                                  borderType=cv2.BORDER_REPLICATE)  # fmt: skip
    made: Array = cv2.resize(pixels, target[::-1], interpolation=cv2.INTER_LINEAR)
    return made


def _sigma(shrunk: float) -> float:
    """How far to smooth before every `shrunk`th pixel is taken."""
    return math.sqrt(max(0.0, shrunk**2 - 1) * _VARIANCE) or 1e-3


def _kernel(shrunk: float) -> int:
    return 2 * round(1.8 * _sigma(shrunk)) + 1


def _by_pillow(pixels: Array, target: tuple[int, int]) -> Array:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize(target[::-1], Image.Resampling.BILINEAR))
