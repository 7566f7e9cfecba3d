"""Open Inference Protocol, requests as they are written: JSON of the right structure, its values not yet read."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from foretell.errors import InvalidInput

Parameters = dict[str, bool | int | float | str | None]

_MOST_INPUTS = 1024
_LONGEST_NAME = 1024
_SHOWN = 80

NO_DATA = msgspec.Raw(b"")


class Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = NO_DATA
    parameters: Parameters | None = None


class SpecialInput(Input):
    """An input whose data holds NaN or Infinity and is parsed already. Never decoded from a request itself."""

    values: list[Any] = []


class RequestedOutput(msgspec.Struct):
    """What a request asks of one output."""

    name: str
    parameters: Parameters | None = None


class Body(msgspec.Struct):
    inputs: list[Input]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None


_BODY = msgspec.json.Decoder(Body)


def parse(head: bytes) -> Body:
    """Raises `InvalidInput` for what is no message. Names are short afterwards, so that errors may show them."""
    body = _parse(head)
    if len(body.inputs) > _MOST_INPUTS:
        raise InvalidInput("too many inputs", expected=f"at most {_MOST_INPUTS}", got=len(body.inputs))
    for tensor in body.inputs:
        if len(tensor.name) > _LONGEST_NAME:
            raise InvalidInput("the name of an input is too long", expected=f"at most {_LONGEST_NAME} characters")
    return body


def shown(value: object) -> str:
    """A value of a request as an error shows it: cut where it would go on for pages."""
    try:
        text = repr(value)
    except ValueError:  # whole numbers of thousands of digits have no decimal form
        return f"{type(value).__name__} that is too long to show"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _parse(head: bytes) -> Body:
    try:
        return _BODY.decode(head)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        if b"NaN" in head or b"Infinity" in head:
            return _parse_special(head)
        raise _invalid(error) from None


def _parse_special(head: bytes) -> Body:
    """Once more with the tokens NaN, Infinity and -Infinity, which strict JSON lacks and clients send."""
    try:
        tree = json.loads(head)
        data = [tensor.pop("data", None) for tensor in tree["inputs"]]
        json.dumps(tree, ensure_ascii=False).encode()  # halves of surrogate pairs are no text
        body = msgspec.convert(tree, Body)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, msgspec.MsgspecError) as error:
        raise _invalid(error) from None
    body.inputs = [
        tensor if values is None else _special(tensor, values) for tensor, values in zip(body.inputs, data, strict=True)
    ]
    return body


def _special(tensor: Input, values: list[Any]) -> SpecialInput:
    return SpecialInput(tensor.name, tensor.shape, tensor.datatype, parameters=tensor.parameters, values=values)


def _invalid(error: Exception) -> InvalidInput:
    text = str(error)
    return InvalidInput(f"the request is not a valid inference request: {text[: 2 * _SHOWN]}")
