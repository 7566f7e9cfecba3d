"""A file while it is read: what was read of it, and whether it still has that."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from foretell.errors import InvalidInput, Unavailable
from foretell.events.cutter import Cutter
from foretell.events.interfaces import Events
from foretell.events.line_events import LineEvents, check_lines
from foretell.events.place_in_file import LOOKED_AT_BYTES, Mark, Older, Place, digest

_READ_BYTES = 2**20


class OpenFile:
    """Reads a file from where it was read to. `offset`: bytes that were given out; `read_to`: that were read."""

    def __init__(self, path: Path, descriptor: int, cutter: Cutter, packed: os.stat_result | None = None) -> None:
        """`packed`: of the file that `descriptor` was unpacked from."""
        self.path, self.cutter, self._descriptor, self._packed = path, cutter, descriptor, packed
        status = self.status()
        self.number = (status.st_dev, status.st_ino)
        self.offset = self.read_to = self.lines = 0
        self.grew = False
        """Whether the last `read` found something."""
        self.replaced_at: float | None = None
        """Since when the file has another name, and rests."""
        self.cut_at: float | None = None
        """Since when it is shorter than what was read of it."""
        self.ended = False
        """All that it will ever have was read."""
        self.begins_again = False
        """It holds something else by now, which is to be read from its beginning."""
        self.older: Older | None = None
        self._head = b""
        self._seen = b""
        """What was read last, and up to 1,024 bytes before it."""

    def go_on(self, offset: int, lines: int, read_to: int) -> None:
        """Begins to read at `read_to`; what the cutter has begins at `offset`, behind `lines` lines."""
        self.offset, self.lines, self.read_to = offset, lines, read_to
        size = min(LOOKED_AT_BYTES, read_to)
        self._head = os.pread(self._descriptor, size, 0)
        self._seen = os.pread(self._descriptor, size, read_to - size)

    def check(self) -> None:
        """Raises `InvalidInput` where it begins as something else than lines of text."""
        check_lines(os.pread(self._descriptor, LOOKED_AT_BYTES, 0), str(self.path))

    def read(self) -> bool:
        """Feeds the cutter with what follows. False where the file does not hold any more what was read last."""
        before = self._seen[-LOOKED_AT_BYTES:]
        try:
            got = os.pread(self._descriptor, len(before) + _READ_BYTES, self.read_to - len(before))
        except OSError as error:
            raise Unavailable(f"the file cannot be read: {error.strerror or error}", where=str(self.path)) from None
        if not got.startswith(before):
            return False
        self.grew, self.cut_at = len(got) > len(before), None
        if self.grew:
            data = got[len(before) :]
            self._seen, self.read_to, self.replaced_at = got, self.read_to + len(data), None
            if len(self._head) < LOOKED_AT_BYTES:
                self._head = (self._head + data)[:LOOKED_AT_BYTES]
            self.cutter.feed(data)
        return True

    def is_cut_back(self) -> bool:
        """Whether it holds nothing but what was read of it, be it less, as far as that is known."""
        size, seen_from = os.fstat(self._descriptor).st_size, self.read_to - len(self._seen)
        if not self._head.startswith(os.pread(self._descriptor, len(self._head), 0)):
            return False
        most = max(0, min(size, self.read_to) - seen_from)
        return self._seen.startswith(os.pread(self._descriptor, most, seen_from))

    def take(self, most: int) -> Events:
        """The next lines that the cutter has."""
        cut = self.cutter.take(most, first=self.offset == 0)
        offset, lines = self.offset, self.lines
        self.offset, self.lines = offset + cut.bytes, lines + len(cut.sizes)
        position = self.place(self.offset).position()
        return LineEvents.of(cut, position, str(self.path), offset, lines)

    def place(self, offset: int) -> Place:
        """`offset`: within what was read last, or behind it."""
        size, seen_from = min(LOOKED_AT_BYTES, offset), self.read_to - len(self._seen)
        tail = self._seen[offset - size - seen_from : offset - seen_from]
        return Place(str(self.path), *self.number, offset, self.lines, digest(self._head[:size]), digest(tail),
                     self.older)  # fmt: skip

    def mark(self) -> Mark:
        return Mark.of(self._descriptor, self.status())

    def status(self) -> os.stat_result:
        return self._packed or os.fstat(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def opened(path: Path) -> int:
    """A descriptor for reading. Raises `InvalidInput` where there is no such file, `Unavailable` where it cannot be
    read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            fix = "use - for standard input" if not path.is_dir() else ""
            raise InvalidInput("this is no file that can be followed", where=str(path), fix=fix)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InvalidInput("there is no such file", where=str(path)) from None
    except OSError as error:
        raise Unavailable(f"the file cannot be read: {error.strerror or error}", where=str(path)) from None
