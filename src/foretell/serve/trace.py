"""Which trace a request belongs to. Source: W3C Trace Context, level 2."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

HEADER = b"traceparent"
_FORM = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KNOWN_FLAGS = 0x03
"""Sampled, and a trace id with random bits: the others must not be handed on."""

_first = int.from_bytes(os.urandom(8)) | 1
_spans = itertools.count(1)


class Trace(NamedTuple):
    """`trace_id` and `parent_id` as the caller gave them, in hexadecimal; `span_id` stands for the request here."""

    trace_id: bytes
    parent_id: bytes
    span_id: bytes
    flags: int

    @property
    def header(self) -> bytes:
        """The value of `traceresponse`: the same trace, and which span of it the request was."""
        return b"00-%b-%b-%02x" % (self.trace_id, self.span_id, self.flags)


def trace_of(headers: Mapping[bytes, bytes]) -> Trace | None:
    """None where the caller named no trace, or none that the specification lets us go on with."""
    value = headers.get(HEADER)
    if value is None:
        return None
    found = _FORM.fullmatch(value.strip(b" \t"))
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == b"00" and more is not None:
        return None
    return Trace(trace_id, parent_id, b"%016x" % _next_span(), int(flags, 16) & _KNOWN_FLAGS)


def _next_span() -> int:
    """Another one each time; not from the system's random numbers, which cost more than the rest."""
    return ((_first + next(_spans) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF) or 1
