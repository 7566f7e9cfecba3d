"""The record of a query that was read: written last, so that what it names is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

SPOOL = "spool.json"
INPUT = "input"
"""The folder of a job, in the store of its output, where the rows of its query lie."""
_FORMAT = 1


class SpoolFile(msgspec.Struct, frozen=True):
    name: str
    rows: int
    bytes: int
    sha256: str


class Retyped(msgspec.Struct, frozen=True):
    """A column that has another type in earlier files: its type in the end, and the first row of the file that has it.
    """  # fmt: skip

    type: str
    row: int


class Spool(msgspec.Struct, frozen=True):
    """`database`: without a password. `read_at`: in UTC, when the read began."""

    database: str
    query: str
    read_at: str
    rows: int
    columns: Sequence[tuple[str, str]]
    files: Sequence[SpoolFile]
    retyped: Mapping[str, Retyped] = {}
    format: int = _FORMAT

    def encoded(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def decoded(cls, content: bytes) -> Spool | None:
        """None where another release has written it, or nothing of ours."""
        try:
            made = msgspec.json.decode(content, type=cls)
        except msgspec.DecodeError:
            return None
        return made if made.format == _FORMAT else None
