"""The parameters of a call on their way to another process, which must find them as they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from foretell.errors import InvalidInput

Told = dict[str, Any] | str | None
"""A str is JSON, for whole numbers that msgpack cannot hold."""

_PLAIN = (type(None), bool, float, str, bytes)
_LEAST, _MOST = -(2**63), 2**64 - 1


def told(params: Mapping[str, Any]) -> Told:
    """Raises `InvalidInput` for a value that would arrive as another one, such as a tuple or an object."""
    if not params:
        return None
    plain = dict(params)
    if not _large(plain, "params"):
        return plain
    try:
        return json.dumps(plain)
    except TypeError as error:
        raise _refused("params", error) from error


def heard(params: Told) -> dict[str, Any]:
    return json.loads(params) if isinstance(params, str) else params or {}


def _large(value: object, where: str) -> bool:
    """Whether there is a whole number in it that msgpack cannot hold."""
    kind = type(value)
    if kind is int:
        return not (isinstance(value, int) and _LEAST <= value <= _MOST)
    if isinstance(value, dict) and kind is dict:
        for key in value:
            if type(key) is not str:
                raise _refused(where, f"a key {key!r}")
        inner = [(f"{where}[{key!r}]", each) for key, each in value.items()]
    elif isinstance(value, list) and kind is list:
        inner = [(f"{where}[{at}]", each) for at, each in enumerate(value)]
    elif kind in _PLAIN:
        return False
    else:
        raise _refused(where, f"a {kind.__name__}")
    found = [_large(each, place) for place, each in inner]
    return any(found)


def _refused(where: str, got: object) -> InvalidInput:
    what, expected = "a parameter cannot be sent to the process of its model", "plain numbers, texts, lists and dicts"
    return InvalidInput(what, where=where, expected=expected, got=got)
