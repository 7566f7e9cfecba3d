"""Files beside the one that is followed: what it was before it was rotated, and what came in between."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from foretell.compression import ENDINGS, compression_of
from foretell.errors import InferenceError
from foretell.events.place_in_file import LOOKED_AT_BYTES, Mark, Older, Place
from foretell.events.unpacked import unpacked

_ROTATED = r"[.-](\d[\d.:TZ_-]*)"
"""What is put into the name of a file that is rotated: a number or a time."""
_LONGEST_NUMBER = 5
"""Digits of one that counts how often a file was rotated: the highest is the oldest. A longer one is a time."""
_MOST_MARKS = 256

Answer = TypeVar("Answer")


class Beside(NamedTuple):
    path: Path
    status: os.stat_result


class Left(NamedTuple):
    """A file that was read to its end. `number`: its device and inode."""

    number: tuple[int, int]
    mark: Mark

    @classmethod
    def before(cls, place: Place, older: Older) -> Left:
        """The one of `place`, which is nowhere any more, or cannot be told from others."""
        mark = Mark(place.inode, older.since_ns, min(LOOKED_AT_BYTES, place.offset), place.head)
        return cls((-1, -1), mark)


def rotated(path: Path, avoid: Collection[Path]) -> list[Beside]:
    """Files that `path` may have been, by their names: `name.1`, `name-20260102`, `name.1.jsonl`, and these compressed;
    the oldest first. `avoid`: files that are something else.
    """
    path = path.resolve()
    names = [re.escape(path.name) + _ROTATED]
    if path.suffix:
        names.append(re.escape(path.stem) + _ROTATED + re.escape(path.suffix))
    packed = "|".join(map(re.escape, ENDINGS))
    pattern = re.compile(f"(?:{'|'.join(names)})(?:{packed})?")
    known = {each.resolve() for each in avoid}
    files = [each for each in _files(path.parent) if pattern.fullmatch(each.path.name) and each.path not in known]
    there = {each.path for each in files}
    found = [each for each in files if not (compression_of(each.path.name) and each.path.with_suffix("") in there)]
    return sorted(found, key=lambda each: (each.status.st_mtime_ns, _age(pattern, each.path.name)))


def find(path: Path, place: Place, avoid: Collection[Path]) -> Beside | None:
    """The file in which reading goes on behind `place`: the one that was read, whatever its name; else one that has the
    same bytes: `path` itself, since a disk may have another number after a start of the machine, or a copy beside
    it."""
    known, path = {each.resolve() for each in avoid}, path.resolve()
    files = list(_files(path.parent))
    same = [each for each in files if place.is_file(each.status) and each.path not in known]
    alike = [each for each in files if each.path == path] + rotated(path, avoid) if place.offset else []
    others = [each for each in alike if not place.is_file(each.status)]
    return next((each for each in (*same, *others) if _holds(each.path, place)), None)


def marks(path: Path, avoid: Collection[Path]) -> tuple[Mark, ...] | None:
    """Of all files that `path` may have been; None where they are too many, or change meanwhile."""
    every = rotated(path, avoid)
    found = [_of_open(each.path, partial(Mark.of, status=each.status)) for each in every[:_MOST_MARKS]]
    made = tuple(each for each in found if each is not None)
    return made if len(made) == len(every) else None


def later(
    path: Path, left: Left, avoid: Collection[Path], done: Collection[tuple[int, int]], older: Older | None
) -> list[Path]:
    """The files that came after the one that was `left` and were rotated away since, the oldest first; not `path`.

    Those that were written after it, and, where the `older` ones are known, every other one that was written since
    these were looked at: that somebody has touched the file that was left is no reason to leave out events.
    `done`: device and inode of files that are none of them.
    """
    every = rotated(path, avoid)
    numbers = [(each.status.st_dev, each.status.st_ino) for each in every]
    if left.number in numbers:
        first = numbers.index(left.number) + 1
    else:
        first = sum(each.status.st_mtime_ns < left.mark.modified_ns for each in every)
    found = []
    for at, (each, number) in enumerate(zip(every, numbers, strict=True)):
        if number in done or number == left.number:
            continue
        if at >= first if older is None else _came_later(each, at >= first, left, older):
            found.append(each.path)
    return found


def _came_later(file: Beside, written_later: bool, left: Left, older: Older) -> bool:
    if _of_open(file.path, partial(older.know, status=file.status)):
        return False
    return written_later or (file.status.st_mtime_ns >= older.since_ns and not _of_open(file.path, left.mark.begins))


def _age(pattern: re.Pattern[str], name: str) -> tuple[int, str]:
    """Orders names of one time, the oldest first."""
    found = pattern.fullmatch(name)
    mark = next((each for each in found.groups() if each), "") if found else ""
    return (-int(mark), "") if mark.isdigit() and len(mark) <= _LONGEST_NUMBER else (0, mark)


def _holds(path: Path, place: Place) -> bool:
    """Whether a file has what was read."""
    begins = _of_open(path, place.begins)
    return bool(begins and _of_open(path, place.fits, most=place.offset))


def _of_open(path: Path, ask: Callable[[int], Answer], most: int = LOOKED_AT_BYTES) -> Answer | None:
    """What `ask` says of the descriptor of a file, or of the first `most` bytes of one that was compressed; None where
    it cannot be read."""
    try:
        descriptor = unpacked(path, most) if compression_of(path.name) else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, InferenceError):
        return None
    try:
        return ask(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _files(folder: Path) -> Iterator[Beside]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    status = os.stat(entry.path, follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield Beside(Path(entry.path), status)
    except OSError:
        return
