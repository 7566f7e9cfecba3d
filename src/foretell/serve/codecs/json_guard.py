"""Limits of JSON, checked before anything is allocated for it."""

from __future__ import annotations

import numpy as np

from foretell.config import ServerSettings
from foretell.errors import InvalidInput
from foretell.serve.messages import HttpError

_OPEN, _CLOSE, _QUOTE = b'{}"'


def check_json(text: bytes, settings: ServerSettings) -> None:
    """Raises `InvalidInput` for JSON nested too deep, `HttpError` 413 for one of too many elements."""
    if len(text) > settings.max_elements and text.count(b",") > settings.max_elements:
        raise HttpError(413, f"the JSON has too many elements; expected at most {settings.max_elements}")
    opened = text.count(b"[") + text.count(b"{")
    if opened > settings.max_json_depth and depth(text) > settings.max_json_depth:
        raise InvalidInput("the JSON is nested too deep", expected=f"at most {settings.max_json_depth} levels")


def depth(text: bytes) -> int:
    """Levels of nesting of a JSON text, strings left out. Takes time and memory in proportion to its length."""
    if b"\\" in text:  # an escaped quote does not end its string
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    codes = np.frombuffer(text, np.uint8)
    folded = codes | 0x20  # [ and { become the same, as do ] and }
    brackets = np.flatnonzero((folded == _OPEN) | (folded == _CLOSE))
    quotes = np.flatnonzero(codes == _QUOTE)
    outside = brackets[np.searchsorted(quotes, brackets) % 2 == 0]
    steps = np.where(folded[outside] == _OPEN, 1, -1)
    return int(np.cumsum(steps).max(initial=0))
