"""What lies at a place in the file system, told without reading it: enough to see that something has changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

Stamp = tuple[tuple[str, int, int], ...]
"""Of each file: path, bytes, time of its last change (ns). In order of path. Empty: there is nothing to look at."""

_MOST_FILES = 4096


def stamp_of(places: Iterable[Path]) -> Stamp:
    """The stamp of `places`: files, and folders with all that lies in them, hidden entries left out.

    Of the first 4,096 files of a folder; what cannot be looked up is left out, and so seems changed when it can.
    """
    files = [file for place in places for file in islice(_files(place), _MOST_FILES)]
    return tuple(sorted(filter(None, map(_one, files))))


def _files(place: Path) -> Iterator[str]:
    if not place.is_dir():
        yield str(place)
        return
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(names):
            if not _is_hidden(name):
                yield os.path.join(folder, name)


def _one(file: str) -> tuple[str, int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return file, status.st_size, status.st_mtime_ns


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"
