"""The pixels of image files: JPEG by simplejpeg, everything else, and JPEG where it cannot, by Pillow.

Both give the same pixels, bit for bit: they are the same decoder, libjpeg-turbo, which simplejpeg calls with less work
around it. PNG is Pillow's: OpenCV was no more than a quarter faster there.
"""

from __future__ import annotations

from typing import Any

from foretell.columns import Array
from foretell.forms import images

_COLOUR, _GREY = ("YCbCr", "RGB"), "Gray"


def jpeg_decoder() -> Any:
    """simplejpeg, or None where it is not installed."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def decode(content: bytes, where: str, least: images.Least | None, decoder: Any) -> Array:
    """The pixels of a file as `forms.images.decode` gives them. `decoder`: of `jpeg_decoder`.

    Raises `InvalidInput` for what is no readable image, or too large a one.
    """
    if decoder is None or not content.startswith(images.JPEG):
        return images.decode(content, where, least)
    try:
        height, width, colours, _ = decoder.decode_jpeg_header(content)
        images.check_size(height, width, where)
        if colours in _COLOUR or colours == _GREY:
            by = images.reduction(height, width, least)
            asked = {"min_height": -(-height // by), "min_width": -(-width // by), "min_factor": by}
            pixels: Array = decoder.decode_jpeg(content, "GRAY" if colours == _GREY else "RGB", **asked)
            return pixels[..., 0] if colours == _GREY else pixels
    except ValueError:
        pass  # Pillow reads what is only slightly wrong, and says better what is wrong with the rest
    return images.decode(content, where, least)
