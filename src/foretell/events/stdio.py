"""Standard input as a source, standard output as a sink; pipes and sockets by their descriptors. Neither can go
back."""

from __future__ import annotations

import os
import select
import stat
import threading

from foretell.errors import InvalidInput, Unavailable
from foretell.events.bell import Bell
from foretell.events.cutter import Cutter
from foretell.events.interfaces import Events, Mark, Position, Sink, Source
from foretell.events.line_events import LineEvents, check_lines
from foretell.file_lock import NoRoom

_READ_BYTES = 2**18
_WRITE_BYTES = 4096
"""Of one write to a pipe that says it can take some: so many it takes without waiting (PIPE_BUF)."""
_LOOK_MS = 200


class PipeSource(Source):
    """Lines of a descriptor, to its end. The last one needs no line end."""

    resumes = False

    def __init__(self, descriptor: int, most_line_bytes: int = 2**20) -> None:
        self._descriptor, self._cutter = descriptor, Cutter(most_line_bytes)
        self._bell = Bell(descriptor)
        self._stopped = self._begun = self._ended = False
        self._offset = self._lines = 0

    def open(self, at: Position | None) -> Position | None:
        if at is not None:
            raise InvalidInput("what was read once from a pipe is gone from it", where="standard input")
        return None

    def poll(self, most: int) -> Events | None:
        while not self._stopped:
            if self._cutter.waiting:
                return self._take(most)
            if self._ended:
                return None
            self._bell.wait()
            if not self._stopped:
                self._read()
        return None

    def stop(self) -> None:
        self._stopped = True
        self._bell.ring()

    def close(self) -> None:
        self._bell.close()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            what = f"it cannot be read: {error.strerror or error}"
            raise Unavailable(what, where="standard input") from None
        if data:
            if not self._begun:
                self._begun = True
                check_lines(data, "standard input")
            self._cutter.feed(data)
        else:
            self._cutter.finish()
            self._ended = True

    def _take(self, most: int) -> Events:
        cut = self._cutter.take(most, first=self._offset == 0)
        offset, lines = self._offset, self._lines
        self._offset, self._lines = offset + cut.bytes, lines + len(cut.sizes)
        position = {"offset": self._offset, "lines": self._lines}
        return LineEvents.of(cut, position, "", offset, lines)


class PipeSink(Sink):
    """Lines to a descriptor, each as soon as it is written. Who reads slowly is waited for."""

    resumes = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._given_up = threading.Event()
        self._poll: select.poll | None = None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLOUT)

    def open(self, at: Mark | None, *, fresh: bool = False) -> None:
        if at is not None:
            raise InvalidInput("what was written to a pipe cannot be taken back", where="standard output")

    def write(self, lines: bytes) -> None:
        left = memoryview(lines)
        while left:
            if self._poll is not None:
                self._wait(self._poll)
            try:
                left = left[os.write(self._descriptor, left if self._poll is None else left[:_WRITE_BYTES]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise
            except OSError as error:
                raise NoRoom(f"cannot be written: {error.strerror or error}", where="standard output") from None

    def commit(self) -> Mark:
        return {}

    def give_up(self) -> None:
        self._given_up.set()

    def close(self) -> None:
        """The descriptor is not ours."""

    def _wait(self, poll: select.poll) -> None:
        while not poll.poll(_LOOK_MS):
            if self._given_up.is_set():
                raise Unavailable("nobody takes the results", where="standard output")
