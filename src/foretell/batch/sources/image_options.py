"""What a job does to images on their way to the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from foretell.batch.sources.resizing import RESIZES, Resize
from foretell.errors import InvalidSetting, nearest

Channels = Literal["RGB", "BGR"]
CHANNELS: tuple[Channels, ...] = ("RGB", "BGR")
NAMES = ("resize", "scale", "mean", "std", "channels")


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """A value of a pixel p, from 0 to 255, becomes (p * scale - mean) / std. `mean`, `std`: one number for all channels
    or one for each, in the order of `channels`."""

    resize: Resize | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channels: Channels = "RGB"

    @property
    def counts(self) -> bool:
        """Whether pixels become other numbers."""
        return self.scale != 1 or bool(self.mean) or bool(self.std)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ImageOptions:
        """Raises `InvalidSetting` for a value that cannot be."""
        for name in given:
            if name not in NAMES:
                raise InvalidSetting(f"images know no option {name!r}", fix=nearest(name, NAMES))
        _one_of("resize", given.get("resize"), RESIZES)
        _one_of("channels", given.get("channels"), CHANNELS)
        scale = _number("scale", given.get("scale", 1.0))
        if scale <= 0:
            raise InvalidSetting("--scale is out of range", expected="more than 0", got=scale)
        mean, std = (_numbers(name, given.get(name, ())) for name in ("mean", "std"))
        if 0.0 in std:
            raise InvalidSetting("--std is out of range", expected="no 0, since it divides", got=std)
        return cls(cast("Resize | None", given.get("resize")), scale, mean, std,
                   cast("Channels", given.get("channels", "RGB")))  # fmt: skip

    def factors(self, channels: int) -> tuple[list[float], list[float]]:
        """What to multiply the values of each channel with, and what to take from them then."""
        mean, std = _each("mean", self.mean, channels, 0.0), _each("std", self.std, channels, 1.0)
        return [self.scale / one for one in std], [m / s for m, s in zip(mean, std, strict=True)]


def read_number(name: str, text: str) -> float:
    """A number, or a fraction such as 1/255, of a command line."""
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        expected = "a number or a fraction such as 1/255"
        raise InvalidSetting(f"wrong --{name}", expected=expected, got=repr(text)) from None


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidSetting(f"wrong --{name}", expected="a number", got=repr(value))
    return float(value)


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, (list, tuple)) or len(values) not in (0, 1, 3):
        raise InvalidSetting(f"wrong --{name}", expected="one number or three", got=repr(values))
    return tuple(_number(name, value) for value in values)


def _each(name: str, values: tuple[float, ...], channels: int, absent: float) -> list[float]:
    if len(values) not in (0, 1, channels):
        what = f"--{name} has {len(values)} numbers, and the model takes images of {channels} channel"
        raise InvalidSetting(what, fix="give one number")
    return [*values] * (channels // len(values)) if values else [absent] * channels


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise InvalidSetting(f"wrong --{name}", expected=" or ".join(known), got=repr(value))
