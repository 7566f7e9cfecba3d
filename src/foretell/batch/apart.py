"""Whether an output stays clear of its own data: what would take its place, or be part of it in the next run."""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
from collections.abc import Iterable
from pathlib import Path

from foretell.batch.address import is_address
from foretell.batch.shards import InputFile
from foretell.batch.sql.naming import is_query
from foretell.errors import InvalidSetting


def check_apart(asked: str | Path | None, files: Iterable[InputFile], target: Path, state: Path, example: Path) -> None:
    """`asked`: the data as somebody named it, None where only its files are known. `target`, `state`: where the job
    writes on this machine; `example`: a file that it writes there.

    Raises `InvalidSetting` where an input lies in one of the two, or one of them among what `asked` names.
    """
    mine = [os.path.realpath(place) for place in (target, state)]
    real = functools.lru_cache(maxsize=1024)(os.path.realpath)
    for file in files:  # of which there may be many
        folder, _, name = file.path.rpartition("/")
        if is_address(file.path) or is_query(file):
            continue
        there = f"{real(folder or '/')}/{name}"
        if any(there == place or there.startswith(f"{place}/") for place in mine):
            raise _in_its_place(file.path)
    if asked is None or is_address(str(asked)):
        return
    for place in mine:
        if _lies_in(str(asked), Path(place)) or _matches(str(asked), example):
            raise _among_it(str(asked), place)


def check_apart_objects(asked: str | Path | None, files: Iterable[InputFile], target: str) -> None:
    """The same for an output of one object; of others only a manifest is seen by who looks below a prefix."""
    if any(file.path == target for file in files):
        raise _in_its_place(target)
    prefix = f"{str(asked).rstrip('/')}/"
    if asked is not None and target.startswith(prefix) and _is_seen(target[len(prefix) :].split("/")):
        raise _among_it(str(asked), target)


def _in_its_place(path: str) -> InvalidSetting:
    return InvalidSetting("the output would take the place of the data", where=path, fix="name another output")


def _among_it(asked: str, place: str) -> InvalidSetting:
    fix = 'name an output beside the data, or one in a folder whose name begins with "_"'
    return InvalidSetting("the output would be part of the data the next time", where=asked, got=place, fix=fix)


def _is_seen(parts: Iterable[str]) -> bool:
    return not any(name.startswith((".", "_")) for name in parts)


def _lies_in(asked: str, place: Path) -> bool:
    """Whether who looks for data in a folder comes upon `place`."""
    folder = Path(os.path.realpath(asked))
    if not os.path.isdir(asked) or folder not in place.parents:
        return False
    return _is_seen(place.relative_to(folder).parts)


def _matches(asked: str, example: Path) -> bool:
    """Whether a pattern finds the file. The one for any number of folders is taken to mean any name at all."""
    if os.path.exists(asked) or not glob.has_magic(asked):
        return False
    pattern = os.path.abspath(asked)
    if "**" in pattern:
        return fnmatch.fnmatchcase(str(example), pattern.replace("**/", "*"))
    return example.match(pattern)
