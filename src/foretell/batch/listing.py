"""The files of a folder as they are now, in little memory: names, sizes and times of a million of them."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

from foretell.batch.shards import InputFile
from foretell.errors import InvalidInput

_WORD = " files, "


class Listing:
    """Files below `folder`, in order of name: the same order on every machine. Hidden names are left out, and those
    that start with "_", as readers of such folders do; links to folders are not followed."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self._names = bytearray()
        self._ends = array("q", [0])
        self._sizes, self._times = array("q"), array("q")

    @classmethod
    def of(cls, folder: str | Path, wanted: Callable[[str], bool] = lambda name: True) -> Listing:
        """What lies below `folder` now, of the names that are `wanted`. Raises `InvalidInput` where it cannot be read.
        """  # fmt: skip
        made = cls(Path(folder).absolute())
        for name, status in _files(made.folder, ""):
            if wanted(name):
                made._add(name, status.st_size, status.st_mtime_ns)
        return made

    def only(self, wanted: Callable[[str], bool]) -> Listing:
        """Some of the files."""
        made = Listing(self.folder)
        for at, name in enumerate(self.names()):
            if wanted(name):
                made._add(name, self._sizes[at], self._times[at])
        return made

    def __len__(self) -> int:
        return len(self._sizes)

    def name(self, at: int) -> str:
        """The path of a file, relative to the folder."""
        return os.fsdecode(bytes(self._names[self._ends[at] : self._ends[at + 1]]))

    def names(self) -> Iterator[str]:
        return (self.name(at) for at in range(len(self)))

    def inputs(self) -> list[InputFile]:
        """Each file as an input of its own."""
        return [InputFile(os.path.join(self.folder, self.name(at)), self._sizes[at], str(self._times[at]))
                for at in range(len(self))]  # fmt: skip

    def as_input(self) -> InputFile:
        """All files as one input, whose stamp changes when any of them does."""
        digest = hashlib.sha256(self._names)
        for numbers in (self._ends, self._sizes, self._times):
            digest.update(numbers)
        return InputFile(self.folder, sum(self._sizes), f"{len(self):,}{_WORD}{digest.hexdigest()[:32]}")

    def is_as_listed(self, at: int, status: os.stat_result) -> bool:
        """Whether a file that was opened is the one that was listed."""
        return status.st_size == self._sizes[at] and status.st_mtime_ns == self._times[at]

    def _add(self, name: str, size: int, time_ns: int) -> None:
        self._names += os.fsencode(name)
        self._ends.append(len(self._names))
        self._sizes.append(size)
        self._times.append(time_ns)


def is_listing(file: InputFile) -> bool:
    """Whether an input is all files of a folder."""
    return _WORD in file.stamp


def difference(before: InputFile, now: InputFile) -> str:
    """How the files of a folder differ from what they were, for people."""
    old, new = before.stamp.partition(_WORD)[0], now.stamp.partition(_WORD)[0]
    if old == new:
        return f"one of its {old} files was written again or renamed"
    return f"it had {old} files, and has {new}"


def _files(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as found:
            entries = sorted((each for each in found if not each.name.startswith((".", "_"))), key=lambda e: e.name)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield f"{prefix}{entry.name}", entry.stat()
    except OSError as error:
        where = error.filename or folder
        raise InvalidInput(f"the folder cannot be read: {error.strerror or error}", where=str(where)) from None
