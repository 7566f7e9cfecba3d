"""Limits of JSON, checked before anything is allocated for it."""

from __future__ import annotations

import re

import numpy as np

from foretell.config import ServerSettings
from foretell.errors import InvalidInput
from foretell.serve.messages import HttpError

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def check_json(text: bytes, settings: ServerSettings) -> None:
    """Raises `InvalidInput` for JSON nested too deep, `HttpError` 413 for one of too many elements."""
    if len(text) > settings.max_elements and text.count(b",") > settings.max_elements:
        raise HttpError(413, f"the JSON has too many elements; expected at most {settings.max_elements}")
    opened = text.count(b"[") + text.count(b"{")
    if opened > settings.max_json_depth and depth(text) > settings.max_json_depth:
        raise InvalidInput("the JSON is nested too deep", expected=f"at most {settings.max_json_depth} levels")


def depth(text: bytes) -> int:
    """Levels of nesting of a JSON text, strings left out."""
    rough = _depth(text)
    # Brackets inside strings can only make the rough count wrong where there are any.
    return _depth(_STRING.sub(b"", text)) if rough and b'"' in text else rough


def _depth(text: bytes) -> int:
    codes = np.frombuffer(text, np.uint8)
    opens = (codes == ord("[")) | (codes == ord("{"))
    closes = (codes == ord("]")) | (codes == ord("}"))
    steps = opens.astype(np.int8) - closes.astype(np.int8)
    return int(np.cumsum(steps[steps != 0], dtype=np.int64).max(initial=0))
