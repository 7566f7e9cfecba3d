"""Where a file was read to, told so that the file is known again after it was renamed, copied or cut off."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from foretell.errors import InvalidInput
from foretell.events.interfaces import Position

LOOKED_AT_BYTES = 1024
_DIGITS = 32


class Place(msgspec.Struct, frozen=True):
    """`offset` bytes of a file were given out, in `lines` lines. `device` and `inode`: of the file.

    `head` and `tail`: digests of up to 1,024 bytes at its beginning and before `offset`: a file that has other bytes
    there is another one, whatever it is called.
    """

    path: str
    device: int
    inode: int
    offset: int
    lines: int
    head: str
    tail: str

    @classmethod
    def from_position(cls, position: Position) -> Place:
        """Raises `InvalidInput` where a source of another kind gave it."""
        try:
            return msgspec.convert(dict(position), cls)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"the position is not one of a file: {error}") from None

    def position(self) -> Position:
        made: Position = msgspec.to_builtins(self)
        return made

    def is_file(self, status: os.stat_result) -> bool:
        """Whether a file is the one that was read, as far as its number tells: the system uses these again."""
        return (status.st_dev, status.st_ino) == (self.device, self.inode)

    def fits(self, descriptor: int) -> bool:
        """Whether an open file begins with what was read."""
        size = min(LOOKED_AT_BYTES, self.offset)
        if os.fstat(descriptor).st_size < self.offset or digest(os.pread(descriptor, size, 0)) != self.head:
            return False
        return digest(os.pread(descriptor, size, self.offset - size)) == self.tail

    def may_come_back(self, path: Path) -> bool:
        """Whether the file is shorter than what was read, and may be the one that was: what it begins with does not
        speak against it."""
        size = min(LOOKED_AT_BYTES, self.offset)
        try:
            with path.open("rb") as file:
                head = file.read(size)
                return os.fstat(file.fileno()).st_size < self.offset and (len(head) < size or digest(head) == self.head)
        except OSError:
            return False


def digest(content: bytes) -> str:
    """Short, and enough to tell one file from another."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
