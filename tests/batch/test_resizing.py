"""Sizes of images: where their pixels go, and how near to Pillow's bilinear filter the fast way comes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from file_sources import encoded, photograph
from PIL import Image

from foretell.batch.sources import decoding
from foretell.batch.sources.resizing import inner, least, middle, resampler, resized, sampled
from foretell.forms import images

_MEAN, _MOST = 2.0, 40
"""Of 255, on photographs with much detail. Skipping pixels, as OpenCV's bilinear filter does, is off by 4.7 and 91."""


def by_pillow(pixels, target):
    return np.asarray(Image.fromarray(pixels).resize(target[::-1], Image.Resampling.BILINEAR))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((500, 375), (224, 224)),
        ((640, 427), (224, 224)),
        ((640, 427), (32, 32)),
        ((640, 427), (300, 640)),
        ((640, 427), (427, 300)),
        ((300, 200), (299, 299)),
        ((60, 40), (224, 224)),
        ((1600, 1067), (224, 300)),
    ],
)
def test_the_fast_way_is_near_pillows(number, size, target):
    pixels = np.asarray(photograph(number, size))
    made, expected = sampled(pixels, target, resampler()), by_pillow(pixels, target)
    assert made.shape == expected.shape == (*target, 3)
    off = np.abs(made.astype(int) - expected)
    assert off.mean() < _MEAN and off.max() <= _MOST


def test_without_opencv_pillow_does_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert resampler() is None
    pixels = np.asarray(photograph())
    np.testing.assert_array_equal(sampled(pixels, (224, 224), resampler()), by_pillow(pixels, (224, 224)))


@pytest.mark.parametrize("size", [(500, 375), (640, 427), (1600, 1067), (4000, 2668)])
@pytest.mark.parametrize("number", [0, 1])
def test_a_jpeg_that_is_decoded_smaller_loses_next_to_nothing(number, size):
    image = photograph(number, size)
    target, content = (224, 224), encoded(image, quality=90)

    def wanted(height, width):
        return least("stretch", height, width, target)

    small = decoding.decode(content, "a.jpg", wanted, decoding.jpeg_decoder())
    assert small.shape[0] >= 224 and small.shape[1] >= 224
    made = sampled(small, target, resampler())
    off = np.abs(made.astype(int) - by_pillow(images.decode(content, "a.jpg"), target))
    assert off.mean() < 1.25 * _MEAN and off.max() <= 1.25 * _MOST


@pytest.mark.parametrize(
    ("size", "wanted", "by"),
    [
        ((448, 448), (224, 224), 2),
        ((447, 447), (224, 224), 2),  # the decoder rounds up
        ((446, 448), (224, 224), 1),
        ((448, 300), (224, 224), 1),
        ((1792, 1792), (224, 224), 8),
        ((90_000, 90_000), (224, 224), 8),
        ((900, 900), (224, 224), 4),
        ((10, 10), (224, 224), 1),
    ],
)
def test_a_jpeg_is_decoded_no_smaller_than_it_is_needed(size, wanted, by):
    assert images.reduction(*size, lambda height, width: wanted) == by
    assert images.reduction(*size, None) == 1


@pytest.mark.parametrize("kind", ["RGB", "L"])
@pytest.mark.parametrize("wanted", [None, (500, 600), (200, 300), (120, 150), (40, 60)])
def test_both_decoders_give_the_same_pixels(kind, wanted):
    content = encoded(photograph(0, (641, 427)).convert(kind), quality=80)
    need = None if wanted is None else lambda height, width: wanted
    fast = decoding.decode(content, "a.jpg", need, decoding.jpeg_decoder())
    slow = decoding.decode(content, "a.jpg", need, None)
    np.testing.assert_array_equal(fast, slow)


def test_the_fast_decoder_is_the_one_that_is_used():
    class Counting:
        def __init__(self, module):
            self.module, self.calls = module, 0

        def decode_jpeg(self, *arguments, **options):
            self.calls += 1
            return self.module.decode_jpeg(*arguments, **options)

        def __getattr__(self, name):
            return getattr(self.module, name)

    decoder = Counting(decoding.jpeg_decoder())
    decoding.decode(encoded(photograph()), "a.jpg", None, decoder)
    assert decoder.calls == 1
    assert resampler() is not None


def test_fit_puts_all_of_the_image_in_the_middle():
    pixels = np.full((100, 200, 3), 255, np.uint8)
    made = resized(pixels, "fit", (50, 50), resampler())
    assert inner(100, 200, (50, 50)) == (25, 50)
    assert (made[12:37] == 255).all()
    assert not made[:12].any() and not made[37:].any()


def test_crop_takes_the_middle():
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:, 50:150] = 255
    assert middle(pixels, (50, 50)).shape == (100, 100, 3)
    assert (resized(pixels, "crop", (50, 50), resampler()) == 255).all()


def test_stretch_keeps_all():
    pixels = np.zeros((100, 200), np.uint8)
    pixels[:, 100:] = 255
    made = resized(pixels, "stretch", (50, 50), resampler())
    assert (made[:, :24] == 0).all() and (made[:, 26:] == 255).all()


@pytest.mark.parametrize("how", ["fit", "crop", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2), (224, 224), (5000, 3)])
@pytest.mark.parametrize("cv2", [resampler(), None])
def test_any_size_becomes_the_target(how, size, cv2):
    pixels = np.full((*size, 3), 200, np.uint8)
    made = resized(pixels, how, (224, 160), cv2)
    assert made.shape == (224, 160, 3) and made.dtype == np.uint8
    inside = made[made.any(axis=2)]
    assert len(inside) and (np.abs(inside.astype(int) - 200) <= 1).all()


@pytest.mark.parametrize("how", ["fit", "crop", "stretch"])
@pytest.mark.parametrize("size", [(1000, 1500), (999, 448), (2000, 300)])
def test_what_is_decoded_smaller_is_never_enlarged(how, size):
    target = (224, 160)
    high, wide = least(how, *size, target)
    by = images.reduction(*size, lambda height, width: (high, wide))
    if by > 1:
        decoded = np.zeros((-(-size[0] // by), -(-size[1] // by), 3), np.uint8)
        part = middle(decoded, target) if how == "crop" else decoded
        goal = inner(*decoded.shape[:2], target) if how == "fit" else target
        assert part.shape[0] >= goal[0] - 1 and part.shape[1] >= goal[1] - 1
