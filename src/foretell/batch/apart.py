"""Whether an output stays clear of its own data: what would take its place, or be part of it in the next run."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Iterable
from pathlib import Path

from foretell.batch.address import is_address
from foretell.batch.shards import InputFile
from foretell.batch.sql.naming import is_query
from foretell.errors import InvalidSetting


def check_apart(asked: str | Path | None, files: Iterable[InputFile], target: Path, state: Path) -> None:
    """`asked`: the data as somebody named it, None where only its files are known. `target`, `state`: where the job
    writes on this machine.

    Raises `InvalidSetting` where an input lies in one of the two, or one of them among what `asked` names.
    """
    mine = [Path(os.path.realpath(place)) for place in (target, state)]
    folder_of = functools.lru_cache(maxsize=1024)(os.path.realpath)
    for file in files:
        if is_address(file.path) or is_query(file):
            continue
        folder, name = os.path.split(os.path.abspath(file.path))
        there = Path(folder_of(folder), name)
        if any(there == place or place in there.parents for place in mine):
            raise InvalidSetting("the output would take the place of the data", where=file.path,
                                 fix="name another output")  # fmt: skip
    if asked is None or is_address(str(asked)):
        return
    for place in mine:
        if _finds(str(asked), place):
            fix = 'name an output beside the data, or one in a folder whose name begins with "_"'
            raise InvalidSetting("the output would be part of the data the next time", where=str(asked),
                                 got=str(place), fix=fix)  # fmt: skip


def _finds(asked: str, place: Path) -> bool:
    """Whether who looks for data where `asked` says comes upon `place`."""
    if os.path.isdir(asked):
        folder = Path(os.path.realpath(asked))
        below = place.relative_to(folder).parts if folder in place.parents else ()
        return bool(below) and not any(name.startswith((".", "_")) for name in below)
    return bool(place.suffix) and glob.has_magic(asked) and place.match(os.path.abspath(asked))
