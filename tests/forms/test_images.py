"""Image files: their pixels, and the layout in which a model takes them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from foretell.errors import InvalidInput
from foretell.forms.images import Image, arranged, as_row, decode
from foretell.types import DataType, ModelSpec, TensorSpec

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
GREY = RGB[:, :, 0].copy()


def png(pixels):
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "png")
    return file.getvalue()


def spec(*shape, datatype=DataType.FP32, batch="any"):
    return ModelSpec(inputs=(TensorSpec("x", datatype, shape),), batch=batch)


def test_sixteen_bits_of_grey_are_kept():
    deep = np.array([[0, 255, 256], [1000, 40_000, 65_535]], np.uint16)
    made = decode(png(deep), "a.png")
    assert made.dtype == np.uint16
    np.testing.assert_array_equal(made, deep)


def test_sixteen_bits_of_colour_are_refused():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    body = zlib.compress(b"\0" + struct.pack(">HHH", 1, 256, 65_535))
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    assert Pillow.open(io.BytesIO(content)).size == (1, 1)
    with pytest.raises(InvalidInput, match=r"a\.png: colour of 16 bits a sample is not read; expected 8 bits"):
        decode(content, "a.png")


@pytest.mark.parametrize(
    ("pixels", "shape", "expected"),
    [
        (RGB, (4, 6, 3), RGB),
        (RGB, (None, None, 3), RGB),
        (RGB, (None, None, None), RGB),
        (RGB, (3, 4, 6), RGB.transpose(2, 0, 1)),
        (RGB, (3, None, None), RGB.transpose(2, 0, 1)),
        (RGB, (1, 3, 4, 6), RGB.transpose(2, 0, 1)[None]),
        (GREY, (4, 6), GREY),
        (GREY, (1, 4, 6), GREY[None]),
        (GREY, (4, 6, 1), GREY[..., None]),
        (RGB[:3, :3], (3, 3, 3), RGB[:3, :3]),
        (RGB[:3], (3, None, 3), RGB[:3]),
        (RGB[:3], (3, None, None), RGB[:3].transpose(2, 0, 1)),
        (RGB, (4, 6), None),
        (RGB, (1, 4, 6), None),
        (RGB, (3, 6, 4), None),
        (RGB, (6, 4, 3), None),
        (RGB, (72,), None),
        (GREY, (3, 4, 6), None),
        (GREY, (4, 6, 3), None),
        (GREY, (6, 4), None),
    ],
)
def test_the_axes_follow_the_input(pixels, shape, expected):
    made = arranged(pixels, shape)
    if expected is None:
        assert made is None
    else:
        np.testing.assert_array_equal(made, expected)
        assert made.dtype == np.uint8


@pytest.mark.parametrize(
    "told",
    [ModelSpec(), spec(datatype=DataType.BYTES), spec(1, datatype=DataType.BYTES)],
    ids=["untold", "(,)", "(1,)"],
)
def test_where_the_model_takes_no_pixels_it_gets_the_file(told):
    content = png(RGB)
    assert as_row(Image(content, "a.png"), told) == content


def test_an_image_is_one_row_where_the_shape_is_not_told():
    told = ModelSpec(inputs=(TensorSpec("x"),))
    assert np.shape(as_row(Image(png(RGB), "a.png"), told)) == (1, 4, 6, 3)


@pytest.mark.parametrize(
    ("pixels", "shape", "words"),
    [
        (RGB, (3, 32, 64), r"expected 64 x 32 pixels in RGB \(input 'x' FP32\[-1, 3, 32, 64\]\), got 6 x 4 pixels in"),
        (RGB, (1, 3, 32, 64), "expected 64 x 32 pixels in RGB "),
        (RGB, (32, 64, 3), "expected 64 x 32 pixels in RGB "),
        (RGB, (1, 4, 6), r"expected 6 x 4 pixels in grey \(.*\), got 6 x 4 pixels in RGB;"),
        (GREY, (3, None, None), r"expected any size in RGB \(.*\), got 6 x 4 pixels in grey;"),
        (GREY, (8, 8), r"expected 8 x 8 pixels in grey \("),
        (GREY, (64,), r"expected input 'x' FP32\[-1, 64\], got 6 x 4"),
        (RGB, (4, 4, 6), r"expected 4 x 4 pixels in 6 channels \("),
    ],
)
def test_a_wrong_size_is_told_in_pixels(pixels, shape, words):
    with pytest.raises(InvalidInput, match=rf"a\.png: the image does not fit the model; {words}") as caught:
        as_row(Image(png(pixels), "a.png"), spec(*shape))
    assert "preprocess of a BasePredictor scale it" in str(caught.value)
