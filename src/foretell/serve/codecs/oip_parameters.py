"""Open Inference Protocol, the parameters of a request: some mean something here, the others go to the model."""

from __future__ import annotations

from dataclasses import dataclass

from foretell.errors import InvalidInput
from foretell.model import Sequence
from foretell.serve.codecs.oip_message import Parameters, shown

_MOST_CHARACTERS = 16_384
_RESERVED = "triton_"
_LARGEST = 2**64
_INTERACTIVE = 1
"""As in Triton 1 is the highest priority and 0 the usual one; there are two levels: every other one is bulk work."""


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """`rest` is what the model gets. `binary`: outputs that say nothing else are sent as binary data.
    `bulk`: the request waits in the bulk lane."""

    rest: Parameters
    timeout_s: float | None
    binary: bool
    sequence: Sequence | None
    bulk: bool


def read_parameters(given: Parameters) -> RequestParameters:
    """Raises `InvalidInput` for a wrong value of a parameter of the protocol, and for parameters that are too long."""
    rest = dict(given)
    size = sum(len(name) + (len(value) if isinstance(value, str) else 8) for name, value in rest.items())
    if size > _MOST_CHARACTERS:  # the engine remembers them, to find requests with equal ones
        raise InvalidInput("the parameters are too long", expected=f"at most {_MOST_CHARACTERS} characters", got=size)
    binary = flag(rest, "binary_data_output", False)
    priority = _number(rest, "priority", "a whole number from 0")
    timeout = _number(rest, "timeout", "a whole number of microseconds")
    sequence = _sequence(rest)
    for name, value in rest.items():
        if name.startswith(_RESERVED):
            raise InvalidInput(f"parameter {shown(name)} is reserved")
        if type(value) is int and not -_LARGEST < value < _LARGEST:
            raise InvalidInput(f"wrong parameter {shown(name)}", expected="a number of at most 64 bits")
    return RequestParameters(rest, timeout / 1e6 if timeout else None, binary, sequence, (priority or 0) > _INTERACTIVE)


def flag(params: Parameters, name: str, default: bool) -> bool:
    """Takes a flag out of `params`. Raises `InvalidInput` where it is something else."""
    value = params.pop(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"wrong parameter {name!r}", expected="true or false", got=shown(value))
    return value


def _number(params: Parameters, name: str, expected: str) -> int | None:
    value = params.pop(name, None)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise InvalidInput(f"wrong parameter {name!r}", expected=expected, got=shown(value))
    return value


def _sequence(params: Parameters) -> Sequence | None:
    """The sequence of a request; 0 and "" mean none."""
    start, end = flag(params, "sequence_start", False), flag(params, "sequence_end", False)
    if isinstance(params.get("sequence_id"), str):
        name = params.pop("sequence_id")
        return Sequence(str(name), start, end) if name else None
    number = _number(params, "sequence_id", "a whole number from 0, or text")
    return Sequence(number, start, end) if number else None
