"""Flags for images as data: how they become what a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from foretell.cli.flag import Flags


@Flags("Images")
@dataclass(frozen=True, kw_only=True)
class ImageFlags:
    resize: Literal["fit", "crop", "stretch"] | None = None
    """To the size that the model takes: fit puts black beside the image, crop takes its middle, stretch changes its
    proportions. If not set: an image of another size has no answer."""
    scale: str | None = None
    """Multiply every value from 0 to 255 with this, a number or a fraction such as 1/255."""
    mean: str | None = None
    """Then take this from it: a number, or one for each channel, with commas."""
    std: str | None = None
    """Then divide it by this: a number, or one for each channel, with commas."""
    channels: Literal["RGB", "BGR"] | None = None
    """Their order. If not set: RGB."""

    def options(self) -> dict[str, Any]:
        """Of the source, for the flags that were given. Raises `InvalidSetting`."""
        given: dict[str, Any] = {}
        if self.resize is not None:
            given["resize"] = self.resize
        if self.channels is not None:
            given["channels"] = self.channels
        if (self.scale, self.mean, self.std) == (None, None, None):
            return given
        from foretell.batch.sources.image_options import read_number

        if self.scale is not None:
            given["scale"] = read_number("scale", self.scale)
        for name, text in (("mean", self.mean), ("std", self.std)):
            if text is not None:
                given[name] = [read_number(name, part) for part in text.split(",")]
        return given
