"""The program in a terminal of its own, and what a person sees there."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import program

_SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b[^\[]")
_COLOUR = re.compile(r"\x1b\[([0-9;]*)m")
_OWNS = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""What makes a terminal that of a session, so that Ctrl-C reaches those who run there."""
_PLAIN_STYLES = {"", "0", "1", "2", "3", "4", "7"}


class Screen:
    """What a terminal shows that is `columns` wide, and has no end below. Knows the sequences that `rich` writes."""

    def __init__(self, columns: int) -> None:
        self._columns, self._row, self._column = columns, 0, 0
        self._lines: list[list[str]] = [[]]
        self._rest = ""
        self.colours: set[str] = set()
        """Codes of colours that were written."""

    def __str__(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self._lines).rstrip()

    def feed(self, text: str) -> None:
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text):
            found = _SEQUENCE.match(text, at)
            if found is not None:
                self._control(found[1] or "", found[2] or "")
                at = found.end()
            elif text[at] == "\x1b" and len(text) - at < 16:
                self._rest = text[at:]  # the sequence has not come whole
                return
            else:
                self._put(text[at])
                at += 1

    def _put(self, character: str) -> None:
        if character == "\n":
            self._down()
        elif character == "\r":
            self._column = 0
        else:
            assert character.isprintable(), f"{character!r} reaches the terminal"
            if self._column == self._columns:
                self._column = 0
                self._down()
            line = self._lines[self._row]
            line += " " * (self._column + 1 - len(line))
            line[self._column] = character
            self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append([])

    def _control(self, given: str, name: str) -> None:
        if name == "A":
            self._row = max(0, self._row - int(given or 1))
        elif name == "K":
            self._lines[self._row] = [] if given == "2" else self._lines[self._row][: self._column]
        elif name == "m":
            self.colours |= {code for code in given.split(";") if code not in _PLAIN_STYLES}
        else:
            assert given.startswith("?"), f"the screen does not know {given}{name}"


class Terminal:
    """A command that runs in a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int, columns: int) -> None:
        self.process, self.screen = process, Screen(columns)
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def until(self, shows: Callable[[str], object]) -> str:
        """The screen, the first time that `shows` holds for it."""
        while not shows(str(self.screen)):
            assert self._more(), f"the screen never shows it:\n{self.screen}"
        return str(self.screen)

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def end(self) -> int:
        """The exit code, once nothing more comes."""
        while self._more():
            pass
        return self.process.wait(program.WAIT_S)

    def _more(self) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], program.WAIT_S)
        assert ready, f"nothing comes any more:\n{self.screen}"
        try:
            read = os.read(self._descriptor, 65536)
        except OSError:  # on Linux the end of a terminal is an error
            read = b""
        self.screen.feed(self._decoder.decode(read))
        return bool(read)


@contextmanager
def terminal(
    *arguments: object, cwd: Path, columns: int = 100, env: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """`foretell ARGUMENTS`, with a terminal for all that it reads and writes; what is left at the end is killed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    own = {name: value for name, value in program.environment().items()
           if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM", "LINES", "CI")}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNS, *program.command(*arguments)],
        cwd=cwd, env={**own, "TERM": "xterm-256color", **(env or {})},
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(process, ours, columns)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
