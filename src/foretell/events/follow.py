"""A file that grows, as a source: followed through rotation and truncation, and resumed in the middle."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from foretell.clock import Clock, SystemClock
from foretell.compression import compression_of
from foretell.errors import InvalidInput
from foretell.events.bell import Bell
from foretell.events.cutter import Cutter
from foretell.events.interfaces import Events, Position, Source
from foretell.events.open_file import OpenFile, opened
from foretell.events.place_in_file import Older, Place
from foretell.events.rotation import Beside, Left, find, later, marks
from foretell.events.unpacked import unpacked
from foretell.saying import Say, nobody

_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.25
_LATE_S = 1.0
"""How long the old file of a rotation must rest: its writer may not know of the new one yet."""
_BACK_S = 10.0
"""How long a file that was cut back has for the same bytes again: the sink of a stream that has crashed gets them."""


class FileSource(Source):
    """Lines of `path`. Without `once` it waits for what is added, and for the file itself.

    A file that was renamed is read to its end, then those that came after it, then the new one. A file that is shorter
    than it was, or has other bytes where it was read, was cut off: what it held goes on in a copy of it beside, where
    there is one (copytruncate), and then from its beginning. One that only became shorter, as the sink of another
    stream does after a crash, has ten seconds to get the same bytes again; then nothing has happened. A last line
    without a line end is a line with `once`, and where the file will not grow any more.
    """

    resumes = True

    def __init__(
        self,
        path: str | Path,
        *,
        once: bool = False,
        most_line_bytes: int = 2**20,
        avoid: Collection[Path] = (),
        say: Say | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`avoid`: files beside it that are something else, such as the sink."""
        self._path, self._once, self._most, self._avoid = Path(path), once, most_line_bytes, avoid
        self._say, self._clock = say or nobody, clock or SystemClock()
        self._bell = Bell()
        self._stopped = False
        self._file: OpenFile | None = None
        self._left: Left | None = None
        """The file that was read last, where others may have come after it and before the one called `path`."""
        self._older: Older | None = None
        """Than the file that is open; None where that is not known."""
        self._done: set[tuple[int, int]] = set()
        """Files that were read since the one called `path` was last open."""
        self._pause_s = _PAUSE_S
        self._waits = False
        self._committed: Place | None = None
        self.rotations = self.truncations = 0

    def open(self, at: Position | None) -> Position | None:
        if at is not None:
            self._committed = Place.from_position(at)
            self._resume(self._committed)
        elif self._once or self._path.exists():
            self._file = self._opened(self._path)
            self._file.check()
            self._look_beside(self._file)
        return None if self._file is None else self._file.place(self._file.offset).position()

    def poll(self, most: int) -> Events | None:
        while not self._stopped:
            file = self._file
            if file is None:
                if not self._begin_next():
                    return None
            elif file.cutter.waiting:
                self._pause_s = _PAUSE_S
                return file.take(most)
            elif file.ended:
                self._leave(file)
            elif not file.read():
                self._cut_off(file)
            elif not file.grew:
                if self._is_over(file):
                    file.cutter.finish()
                    file.ended = True
                else:
                    self._wait()
        return None

    def stop(self) -> None:
        self._stopped = True
        self._bell.ring()

    def acknowledge(self, position: Position) -> None:
        self._committed = Place.from_position(position)

    def behind(self) -> int | None:
        """Of the file that is called `path` now: all of it, while one that was before it is read."""
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        place = self._committed
        return max(0, status.st_size - (place.offset if place is not None and place.is_file(status) else 0))

    def close(self) -> None:
        self._close_file()
        self._bell.close()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _resume(self, place: Place) -> None:
        found = find(self._path, place, self._avoid)
        if found is None and place.may_come_back(self._path) and not self._once:
            self._say_cut_back(self._path, place.offset)
            found = self._come_back(place)
            if self._stopped:
                return
        self._older = place.older
        came_after = self._after(place) if found is None or not place.offset else []
        if came_after and not place.offset and (found is None or found.path in (self._path.resolve(), *came_after)):
            return  # of a file of which nothing was read nothing tells; it is one of them, or there is nothing of it
        if found is not None:
            self._left = None
            self._file = self._opened(self._path if _is(self._path, found.status) else found.path)
            self._file.go_on(place.offset, place.lines, place.offset)
            if self._is_here(self._file):
                self._look_beside(self._file)
            else:
                self._say(f"{self._path} was rotated; going on in {found.path}", event="rotated")
            return
        if self._once and not self._path.exists():
            raise InvalidInput("there is no such file", where=str(self._path))
        self.truncations += 1
        what = f"the file that was read up to byte {place.offset:,} is neither here nor beside"
        then = "going on with what came after it" if came_after else "starting at the beginning"
        self._say(f"{self._path}: {what}; {then}", event="truncated", level="warning")

    def _after(self, place: Place) -> list[Path]:
        """The files that came after the one of `place`, which are next."""
        if place.older is None:
            return []
        self._left = Left.before(place, place.older)
        return later(self._path, self._left, self._avoid, self._done, place.older)

    def _come_back(self, place: Place) -> Beside | None:
        """The file once it holds again what was read; None where it gets something else, or nothing in time."""
        until = self._clock.monotonic() + _BACK_S
        while not self._stopped:
            may = place.may_come_back(self._path)  # before `find`: they may come in between
            found = find(self._path, place, self._avoid)
            if found is not None or not may or self._clock.monotonic() >= until:
                return found
            self._wait()
        return None

    def _say_cut_back(self, path: Path, read_to: int) -> None:
        what = f"{path} is shorter than the {read_to:,} bytes that were read"
        self._say(f"{what}; waiting {_BACK_S:.0f} s for them to come back", event="cut_back")

    def _is_over(self, file: OpenFile) -> bool:
        """Whether what was read is all that the file will ever have."""
        if self._once:
            return True
        if self._is_here(file) or not self._has_begun():
            file.replaced_at = None
            return False
        now = self._clock.monotonic()
        if file.replaced_at is None:
            file.replaced_at = now
        return now - file.replaced_at >= _LATE_S

    def _leave(self, file: OpenFile) -> None:
        """All of the file was read: the next one is that which came after it."""
        if file.begins_again:
            self._left = None
        elif self._is_here(file):
            self._stopped = True  # only with `once` is a file over that is still there
        else:
            self.rotations += 1
            self._left = Left(file.number, file.mark())
            self._done.add(file.number)
            if self._older is not None:
                self._older = self._older.and_one(self._left.mark)
        self._close_file()

    def _begin_next(self) -> bool:
        """Opens the next file, or waits for it. False where there will be none."""
        path = self._path
        if self._left is not None:
            path = next(iter(later(path, self._left, self._avoid, self._done, self._older)), path)
        if not path.exists():
            if self._once:
                return False
            if not self._waits:
                self._waits = True
                self._say(f"waiting for {path}", event="waiting")
            self._wait()
            return True
        try:
            self._file = self._opened(path)
        except InvalidInput:
            if path.exists():
                raise
            return True  # it was renamed between two looks
        if self._left is not None:
            self._say(f"{self._path} was rotated; going on in {path}", event="rotated")
        if self._is_here(self._file):
            self._left = None
            self._done.clear()
            self._look_beside(self._file)
        return True

    def _look_beside(self, file: OpenFile) -> None:
        """The open file is the one called `path`, so all that it may have been before are older."""
        since_ns, found = file.status().st_mtime_ns, marks(self._path, self._avoid)
        if self._is_here(file):  # else some of them may have come after it by now
            file.older = self._older = None if found is None else Older(since_ns, found)

    def _cut_off(self, file: OpenFile) -> None:
        """The file has other bytes than it had. What it held is looked for in a copy of it, or comes back."""
        found = find(self._path, file.place(file.read_to), self._avoid)
        if found is None and not self._once and file.is_cut_back():
            now = self._clock.monotonic()
            if file.cut_at is None:
                file.cut_at = now
                self._say_cut_back(file.path, file.read_to)
            if now - file.cut_at < _BACK_S:
                self._wait()
                return
        self.truncations += 1
        if found is None:
            self._say(f"{file.path} was cut off, or written anew, since it was read up to byte {file.read_to:,}; "
                      "starting at its beginning", event="truncated", level="warning")  # fmt: skip
            file.cutter.finish(broken=True)
            file.ended = file.begins_again = True
            return
        self._say(f"{file.path} was cut off; what it held goes on in {found.path}", event="truncated")
        copy = self._opened(found.path, file.cutter)
        copy.go_on(file.offset, file.lines, file.read_to)
        self._close_file()
        self._file = copy

    def _opened(self, path: Path, cutter: Cutter | None = None) -> OpenFile:
        packed = os.stat(path) if path != self._path and compression_of(path.name) else None
        descriptor = unpacked(path) if packed else opened(path)
        file = OpenFile(path, descriptor, cutter or Cutter(self._most), packed)
        file.older = self._older
        return file

    def _is_here(self, file: OpenFile) -> bool:
        """Whether it is the one that is called `path`, or no file is called so."""
        return _is(self._path, file.status()) is not False

    def _has_begun(self) -> bool:
        """Whether somebody writes to the file that is called `path`."""
        try:
            return os.stat(self._path).st_size > 0
        except OSError:
            return False

    def _wait(self) -> None:
        """Ends at once where it is stopped."""
        self._bell.wait(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


def _is(path: Path, status: os.stat_result) -> bool | None:
    """Whether the file that is called `path` is the one of `status`; None where there is none."""
    try:
        now = os.stat(path)
    except OSError:
        return None
    return (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino)
