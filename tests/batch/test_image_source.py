"""Images as rows: what a model gets of each, and which of them have no answer and why."""

from __future__ import annotations

import struct
import sys
import zlib

import numpy as np
import pytest
from file_sources import encoded, opened, photograph, read, read_all, takes
from PIL import Image

from foretell.batch.inputs import find_inputs
from foretell.batch.job import Data
from foretell.batch.shards import ShardSize
from foretell.batch.sources.registry import open_source
from foretell.errors import InvalidInput, InvalidSetting
from foretell.types import DataType, ModelSpec

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
GREY = PIXELS[:, :, 0].copy()
FIRST = takes(3, 4, 6)


def put(folder, **files):
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def png(pixels, **options):
    return encoded(np.asarray(pixels) if not isinstance(pixels, Image.Image) else pixels, "PNG", **options)


def one(folder, content, spec, name="a.png", **options):
    """The row of one file."""
    (folder / name).write_bytes(content)
    made = read_all(folder, spec, **options)
    assert made.bad == {}, made.bad
    (cell,) = made.cells
    return cell


def why(folder, content, spec=FIRST, name="a.png", **options):
    """Why one file among good ones is no row; the good ones are rows."""
    put(folder, **{"1__png": png(PIXELS), "3__png": png(PIXELS)})
    (folder / f"2{name}").write_bytes(content)
    made = read_all(folder, spec, **options)
    assert list(made.bad) == [1] and len(made.cells) == 3
    assert made.bad[1].code == "invalid_input"
    np.testing.assert_array_equal(made.cells[0], made.cells[2])
    assert made.bad[1].message.startswith(f"{folder}/2{name}: ")
    return made.bad[1].message


@pytest.mark.parametrize("datatype", [DataType.FP32, DataType.FP64, DataType.UINT8, DataType.INT64, None])
@pytest.mark.parametrize(
    ("pixels", "shape", "expected"),
    [
        (PIXELS, (3, 4, 6), PIXELS.transpose(2, 0, 1)),
        (PIXELS, (4, 6, 3), PIXELS),
        (PIXELS, (3, None, None), PIXELS.transpose(2, 0, 1)),
        (PIXELS, (None, None, 3), PIXELS),
        (GREY, (3, 4, 6), np.stack([GREY] * 3)),
        (GREY, (4, 6, 3), np.stack([GREY] * 3, axis=-1)),
        (GREY, (4, 6), GREY),
        (GREY, (1, 4, 6), GREY[None]),
        (GREY, (4, 6, 1), GREY[..., None]),
        (GREY, (None, None), GREY),
        (GREY, (1, None, None), GREY[None]),
    ],
)
def test_pixels_come_in_the_layout_of_the_model_and_are_not_changed(tmp_path, pixels, shape, expected, datatype):
    spec = takes(*shape, datatype=datatype)
    made = one(tmp_path, png(pixels), spec)
    np.testing.assert_array_equal(made, expected)
    if datatype in (DataType.FP32, DataType.FP64, DataType.UINT8):
        assert made.dtype == datatype.numpy  # so that nothing is copied on the way to the model


def test_a_model_that_has_its_own_axis_of_one(tmp_path):
    np.testing.assert_array_equal(
        one(tmp_path, png(PIXELS), takes(1, 3, 4, 6, rows=None)), PIXELS.transpose(2, 0, 1)[None]
    )


def test_the_numbers_are_those_that_were_asked_for(tmp_path):
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    made = one(tmp_path, png(PIXELS), FIRST, scale=1 / 255, mean=mean, std=std)
    expected = ((PIXELS / 255 - mean) / std).transpose(2, 0, 1)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    reversed_ = one(tmp_path, png(PIXELS), FIRST, scale=1 / 255, mean=mean, std=std, channels="BGR")
    np.testing.assert_allclose(reversed_, ((PIXELS[..., ::-1] / 255 - mean) / std).transpose(2, 0, 1), atol=1e-6)
    one_for_all = one(tmp_path, png(PIXELS), takes(4, 6, 3), mean=[127.5], std=[127.5])
    np.testing.assert_allclose(one_for_all, (PIXELS - 127.5) / 127.5, atol=1e-6)
    free = one(tmp_path, png(PIXELS), takes(3, None, None), scale=1 / 255, mean=mean, std=std)
    np.testing.assert_array_equal(free, made)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("how", ["fit", "crop", "stretch"])
def test_a_photograph_becomes_what_pillow_makes_of_it(tmp_path, monkeypatch, how, fast):
    if not fast:
        monkeypatch.setitem(sys.modules, "simplejpeg", None)
        monkeypatch.setitem(sys.modules, "cv2", None)
    image = photograph(0, (500, 376))
    made = one(tmp_path, encoded(image, quality=95), takes(224, 224, 3, datatype=DataType.UINT8), "a.jpg", resize=how)
    if how == "stretch":
        expected = image.resize((224, 224), Image.Resampling.BILINEAR)
    elif how == "crop":
        expected = image.crop((62, 0, 438, 376)).resize((224, 224), Image.Resampling.BILINEAR)
    else:
        inside = image.resize((224, 168), Image.Resampling.BILINEAR)
        expected = Image.new("RGB", (224, 224))
        expected.paste(inside, (0, 28))
    off = np.abs(made.astype(int) - np.asarray(expected))
    assert off.mean() < 3 and off.max() < 60  # what JPEG has lost included


def test_an_image_of_another_size_needs_a_word(tmp_path):
    told = why(tmp_path, png(PIXELS[:3]))
    assert "the image does not fit the model; expected 6 x 4 pixels in RGB (input 'x' FP32[-1, 3, 4, 6])" in told
    assert "got 6 x 3 pixels in RGB" in told and "--resize fit, crop or stretch" in told


def test_colour_is_not_made_grey(tmp_path):
    (tmp_path / "a.png").write_bytes(png(PIXELS))
    made = read_all(tmp_path, takes(4, 6))
    assert "expected 6 x 4 pixels in grey" in made.bad[0].message and "got 6 x 4 pixels in RGB" in made.bad[0].message


def test_a_model_of_bytes_gets_the_files(tmp_path):
    put(tmp_path, a__png=png(PIXELS), b__jpg=b"whatever it is", c__jpg=b"")
    made = read_all(tmp_path, takes(datatype=DataType.BYTES))
    assert made.cells[:2] == [png(PIXELS), b"whatever it is"]
    assert made.bad[2].message == f"{tmp_path}/c.jpg: the file is empty"
    source = opened(tmp_path, ModelSpec())
    assert read(source).cells[:2] == made.cells[:2]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def head_only(width, height, depth=8, colour=2):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


PHOTO = encoded(photograph())
HUGE = PHOTO.replace(struct.pack(">HH", 375, 500), struct.pack(">HH", 65_000, 65_000))


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (b"", "a.png", "the file is empty"),
        (b"", "a.jpg", "the file is empty"),
        (b"junk", "a.jpg", "not a readable image; expected JPEG, PNG, WebP, BMP or GIF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a.jpg", "not a readable image"),
        (PHOTO[: len(PHOTO) // 2], "a.jpg", "not a readable image: "),
        (PHOTO[:300], "a.jpg", "not a readable image"),
        (PHOTO[:2] + bytes(500), "a.jpg", "not a readable image"),
        (png(photograph())[:5000], "a.png", "not a readable image: "),
        (HUGE, "a.jpg", "the image is too large; expected at most 89,478,485 pixels"),
        (head_only(65_000, 65_000), "a.png", "the image is too large"),
        (head_only(9_500, 9_500), "a.png", "the image is too large"),
        (head_only(2, 2, 16), "a.png", "colour of 16 bits a sample is not read"),
        (png(np.ones((4, 6), np.uint16)), "a.png", "the image has 16 bits; expected 8 bits"),
    ],
)
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("resize", [None, "fit"])
def test_what_is_no_good_image_is_left_out_and_the_others_go_on(
    tmp_path, monkeypatch, content, name, told, fast, resize
):
    if not fast:
        monkeypatch.setitem(sys.modules, "simplejpeg", None)
        monkeypatch.setitem(sys.modules, "cv2", None)
    assert told in why(tmp_path, content, name=name, **({"resize": resize} if resize else {}))


def flat(mode, colour):
    return Image.new(mode, (6, 4), colour)


def animated():
    return encoded(flat("RGB", (9, 90, 200)), "GIF", save_all=True, append_images=[flat("RGB", (1, 2, 3))])


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (png(flat("RGB", (9, 90, 200)).quantize()), "a.png"),
        (png(flat("RGBA", (9, 90, 200, 0))), "a.png"),
        (animated(), "a.gif"),
        (encoded(flat("RGB", (9, 90, 200)), "BMP"), "a.bmp"),
        (encoded(flat("RGB", (9, 90, 200)), "WEBP", lossless=True), "a.webp"),
        (png(flat("RGB", (9, 90, 200))), "wrong-ending.jpg"),
        (encoded(flat("RGB", (9, 90, 200)), quality=100, subsampling=0), "wrong-ending.png"),
        (encoded(flat("RGB", (9, 90, 200)), quality=100, subsampling=0) + b"more", "a.jpg"),
        (encoded(flat("RGB", (9, 90, 200)), quality=100, subsampling=0, progressive=True), "a.jpg"),
        (encoded(flat("RGB", (9, 90, 200)), quality=100, keep_rgb=True), "a.jpg"),
    ],
)
def test_other_kinds_of_image_are_the_same_pixels(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    made = read_all(tmp_path, takes(4, 6, 3))
    assert made.bad == {}
    np.testing.assert_allclose(made.cells[0], np.full((4, 6, 3), (9, 90, 200)), atol=2)


def test_inks_become_colours_as_pillow_makes_them(tmp_path):
    content = encoded(photograph(0, (60, 40)).convert("CMYK"))
    made = one(tmp_path, content, takes(40, 60, 3), "a.jpg")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.png").write_bytes(content)
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB"))
    np.testing.assert_array_equal(made, expected)


def test_sixteen_bits_of_grey_go_to_models_that_hold_them(tmp_path):
    deep = np.array([[0, 256, 40_000]], np.uint16)
    np.testing.assert_array_equal(one(tmp_path, png(deep), takes(1, 3)), deep)
    np.testing.assert_array_equal(one(tmp_path, png(deep), takes(1, 3, datatype=DataType.INT32)), deep)
    made = read_all(tmp_path, takes(1, 3, datatype=DataType.UINT8))
    assert "the image has 16 bits" in made.bad[0].message


def test_images_are_not_turned_as_the_camera_noted(tmp_path):
    """As those who train have them: neither Pillow nor torchvision nor Keras turns them by itself."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = photograph(0, (60, 40))
    np.testing.assert_array_equal(
        one(tmp_path, encoded(image, exif=exif), takes(40, 60, 3), "a.jpg"),
        np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB")),
    )


def test_images_of_several_sizes_for_a_model_that_takes_any(tmp_path):
    sizes = [(4, 6), (4, 6), (5, 6), (4, 6), (4, 6), (4, 6)]
    for number, (height, width) in enumerate(sizes):
        (tmp_path / f"{number}.png").write_bytes(png(np.full((height, width, 3), number, np.uint8)))
    (tmp_path / "3.png").write_bytes(b"junk")
    source = opened(tmp_path, takes(3, None, None))
    made = read(source)
    assert made.names == [f"{number}.png" for number in range(6)]
    assert list(made.bad) == [3]
    assert made.blocks == [2, 2, 2]  # a bad one goes with those before it
    for number in (0, 1, 2, 4, 5):
        assert made.cells[number].shape == (3, *sizes[number]) and (made.cells[number] == number).all()


def test_blocks_follow_each_other_and_hold_no_more_rows_than_asked_for(tmp_path):
    for number in range(150):
        (tmp_path / f"{number:03}.png").write_bytes(png(np.full((4, 6, 3), number, np.uint8)))
    source = opened(tmp_path, FIRST)
    made = read(source, rows=10)
    assert max(made.blocks) == 10 and sum(made.blocks) == 150
    assert made.firsts == [(0, sum(made.blocks[:at])) for at in range(len(made.blocks))]
    assert [int(cell[0, 0, 0]) for cell in made.cells] == list(range(150))
    again = read(source, rows=7, shards=[2, 0])  # in any order, cut in any way
    shards = source.shards(ShardSize())
    assert again.names == [name for at in (2, 0) for name in made.names[shards[at].start : shards[at].stop]]


def test_rows_of_a_block_are_as_many_as_a_call_can_hold(tmp_path):
    (tmp_path / "a.png").write_bytes(png(PIXELS))
    assert opened(tmp_path, takes(3, 224, 224)).row_bytes == 3 * 224 * 224 * 4
    assert opened(tmp_path, takes(3, 224, 224, datatype=DataType.UINT8)).row_bytes == 3 * 224 * 224
    assert opened(tmp_path, takes(3, None, None)).row_bytes is None


def test_a_file_that_changes_while_the_job_runs_stops_it(tmp_path):
    put(tmp_path, a__png=png(PIXELS), b__png=png(PIXELS))
    source = opened(tmp_path, FIRST)
    assert len(read(source).cells) == 2
    (tmp_path / "b.png").write_bytes(png(PIXELS) + b" ")
    with pytest.raises(InvalidInput, match=r"b\.png: the input changed while it was read: it was written again"):
        read(source)
    (tmp_path / "b.png").unlink()
    with pytest.raises(InvalidInput, match=r"b\.png: the input changed while it was read: it is gone"):
        read(source)


def test_a_folder_that_changed_is_not_read(tmp_path):
    put(tmp_path, a__png=png(PIXELS))
    source = opened(tmp_path, FIRST)
    put(tmp_path, b__png=png(PIXELS))
    with pytest.raises(InvalidInput, match="the input changed while it was read"):
        read(source)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scale": 1 / 255}, "--scale, --mean and --std give fractions, and the model takes whole numbers"),
        ({"mean": [1.0]}, "--scale, --mean and --std give fractions"),
        ({"scale": 0.0}, "--scale is out of range; expected more than 0"),
        ({"std": [1.0, 0.0, 1.0]}, "--std is out of range"),
        ({"mean": [1.0, 2.0]}, "wrong --mean; expected one number or three"),
        ({"resize": "zoom"}, "wrong --resize; expected fit or crop or stretch, got 'zoom'"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, options, told):
    put(tmp_path, a__png=png(PIXELS))
    with pytest.raises(InvalidSetting, match=told):
        opened(tmp_path, takes(3, 4, 6, datatype=DataType.UINT8), **options)


@pytest.mark.parametrize(
    ("spec", "options", "told"),
    [
        (takes(4, 6), {"channels": "BGR"}, "--channels has nothing to order: the model takes grey images"),
        (takes(4, 6), {"mean": [1.0, 2.0, 3.0]}, "--mean has 3 numbers, and the model takes images of 1 channel"),
        (takes(3, None, None), {"resize": "fit"}, "--resize has no size to go by"),
        (takes(datatype=DataType.BYTES), {"resize": "fit"}, "--resize would do nothing: the model takes the files as"),
        (ModelSpec(), {"scale": 0.5}, "--scale would do nothing: the model takes the files as they are"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path, spec, options, told):
    put(tmp_path, a__png=png(PIXELS))
    with pytest.raises(InvalidSetting, match=told):
        opened(tmp_path, spec, **options)


def test_options_of_images_are_refused_for_other_data(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    kind, files = find_inputs(tmp_path)
    with pytest.raises(InvalidSetting, match="--resize would do nothing: it is not for texts"):
        open_source(Data(kind, tuple(files), {"resize": "fit"}))


def test_a_model_that_takes_no_images_is_said(tmp_path):
    put(tmp_path, a__png=png(PIXELS))
    with pytest.raises(InvalidInput, match=r"the model takes no images; .*|input 'x' .*: the model takes no images"):
        opened(tmp_path, takes(4))
