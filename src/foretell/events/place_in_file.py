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


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A file, as it is known again under another name, or as a copy. `head`: a digest of its first `size` bytes."""

    inode: int
    modified_ns: int
    size: int
    head: str

    @classmethod
    def of(cls, descriptor: int, status: os.stat_result) -> Mark:
        head = os.pread(descriptor, LOOKED_AT_BYTES, 0)
        return cls(status.st_ino, status.st_mtime_ns, len(head), digest(head))

    def begins(self, descriptor: int) -> bool:
        """Whether an open file begins as it does. One that was empty begins nothing but empty files."""
        return digest(os.pread(descriptor, self.size or 1, 0)) == self.head

    def is_of(self, descriptor: int, status: os.stat_result) -> bool:
        return (status.st_ino == self.inode or status.st_mtime_ns == self.modified_ns) and self.begins(descriptor)


class Older(msgspec.Struct, frozen=True, array_like=True):
    """The files beside one that came before it. `since_ns`: when it was last written as they were looked at."""

    since_ns: int
    marks: tuple[Mark, ...]

    def know(self, descriptor: int, status: os.stat_result) -> bool:
        return any(mark.is_of(descriptor, status) for mark in self.marks)

    def and_one(self, mark: Mark) -> Older:
        return Older(self.since_ns, (*self.marks, mark))


class Place(msgspec.Struct, frozen=True):
    """`offset` bytes of a file were given out, in `lines` lines. `device` and `inode`: of the file.

    `head` and `tail`: digests of up to 1,024 bytes at its beginning and before `offset`: a file that has other bytes
    there is another one, whatever it is called. `older` None: not known.
    """

    path: str
    device: int
    inode: int
    offset: int
    lines: int
    head: str
    tail: str
    older: Older | None = None

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

    def begins(self, descriptor: int) -> bool:
        """Whether an open file begins as the one that was read, of which so much was looked at."""
        return digest(os.pread(descriptor, min(LOOKED_AT_BYTES, self.offset), 0)) == self.head

    def fits(self, descriptor: int) -> bool:
        """Whether an open file begins with what was read."""
        size = min(LOOKED_AT_BYTES, self.offset)
        if os.fstat(descriptor).st_size < self.offset or not self.begins(descriptor):
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
