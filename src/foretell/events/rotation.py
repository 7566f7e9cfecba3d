"""Files beside the one that is followed: what it was before it was rotated, and what came in between."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from foretell.events.place_in_file import Place

_ROTATED = r"[.-](\d[\d.:TZ_-]*)"
"""What is put into the name of a file that is rotated: a number or a time."""
_LONGEST_NUMBER = 5
"""Digits of one that counts how often a file was rotated: the highest is the oldest. A longer one is a time."""


class Beside(NamedTuple):
    path: Path
    status: os.stat_result


def rotated(path: Path, avoid: Collection[Path]) -> list[Beside]:
    """Files that `path` may have been, by their names: `name.1`, `name-20260102`, `name.1.jsonl`; the oldest first.

    Compressed ones are none of them. `avoid`: files that are something else.
    """
    path = path.resolve()
    names = [re.escape(path.name) + _ROTATED]
    if path.suffix:
        names.append(re.escape(path.stem) + _ROTATED + re.escape(path.suffix))
    pattern = re.compile("|".join(names))
    known = {each.resolve() for each in avoid}
    found = [each for each in _files(path.parent) if pattern.fullmatch(each.path.name) and each.path not in known]
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
    return next((each for each in (*same, *others) if _fits(place, each.path)), None)


def later(path: Path, status: os.stat_result, avoid: Collection[Path], done: Collection[tuple[int, int]]) -> list[Path]:
    """The files that were written after the one of `status` and rotated away since, the oldest first; not `path`.

    `done`: device and inode of files that are none of them.
    """
    every = rotated(path, avoid)
    numbers = [(each.status.st_dev, each.status.st_ino) for each in every]
    number = (status.st_dev, status.st_ino)
    if number in numbers:
        first = numbers.index(number) + 1
    else:
        first = sum(each.status.st_mtime_ns < status.st_mtime_ns for each in every)
    return [each.path for each, its in zip(every[first:], numbers[first:], strict=True) if its not in done]


def _age(pattern: re.Pattern[str], name: str) -> tuple[int, str]:
    """Orders names of one time, the oldest first."""
    found = pattern.fullmatch(name)
    mark = next((each for each in found.groups() if each), "") if found else ""
    return (-int(mark), "") if mark.isdigit() and len(mark) <= _LONGEST_NUMBER else (0, mark)


def _fits(place: Place, path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return place.fits(descriptor)
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
