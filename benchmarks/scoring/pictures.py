"""Photographs to classify: JPEG of 500 x 375, cut from the two that scikit-learn brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 500, 375
_NOISE = 6.0
_QUALITY = 90


def jpegs(folder: Path, count: int) -> Path:
    """`count` files, each another cut, perhaps mirrored, with noise of its own: 50 to 120 KB, as cameras give."""
    from sklearn.datasets import load_sample_images

    folder.mkdir()
    rng = np.random.default_rng(7)
    photographs = load_sample_images().images
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top = rng.integers(photograph.shape[0] - HEIGHT + 1)
        left = rng.integers(photograph.shape[1] - WIDTH + 1)
        cut = photograph[top : top + HEIGHT, left : left + WIDTH]
        turned = cut[:, ::-1] if rng.random() < 0.5 else cut
        noise = rng.standard_normal(cut.shape, np.float32) * _NOISE
        pixels = (turned + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.jpg", quality=_QUALITY)
    return folder
