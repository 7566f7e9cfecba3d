"""What DATA means: its format, and its files as they are now. Looks at names, sizes, times and etags only."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath

from foretell.batch.address import is_address
from foretell.batch.shards import InputFile
from foretell.errors import InvalidInput, nearest

SUFFIXES = {
    ".parquet": "parquet", ".pq": "parquet",
    ".csv": "csv", ".tsv": "tsv",
    ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".npy": "npy",
}  # fmt: skip
FORMATS = tuple(sorted(set(SUFFIXES.values())))
_SHOWN = 5


def find_inputs(data: str | Path, fmt: str | None = None) -> tuple[str, list[InputFile]]:
    """The format of `data`, and its files in order of name. `data`: a file, a folder, or a pattern with `*`; or the
    address of an object, of all below a prefix, or a pattern of them.

    In a folder, hidden files and names that start with "_" are left out, as readers of such folders do. Raises
    `InvalidInput` where there is nothing, where the format is not known, and where a folder holds several.
    """
    text = str(data)
    if fmt is not None and fmt not in FORMATS:
        raise InvalidInput(f"unknown format {fmt!r}", where=text, fix=nearest(fmt, FORMATS))
    files = _objects(text) if is_address(text) else [_stamped(path) for path in _paths(text)]
    if not files:
        raise InvalidInput("there is no such file", where=text, expected="a file, a folder or a pattern such as *.csv")
    kind = fmt or _format_of([_suffix(file) for file in files], text)
    return kind, [file for file in files if fmt is not None or SUFFIXES.get(_suffix(file)) == kind]


def changed(file: InputFile) -> str:
    """How a file differs from what it was, for people; "" where it does not."""
    try:
        now = _object(file.path) if is_address(file.path) else _stamped(Path(file.path))
    except InvalidInput as error:
        return error.what
    if now.size != file.size:
        return f"it had {file.size:,} bytes, and has {now.size:,}"
    return "" if now.stamp == file.stamp else "it was written again"


def _paths(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        found = (Path(folder) / name for folder, folders, names in os.walk(path) if _descend(folders) for name in names)
        return sorted(file for file in found if not file.name.startswith((".", "_")))
    if path.exists() or not glob.has_magic(text):
        return [path] if path.is_file() else []
    return sorted(Path(name) for name in glob.glob(text, recursive=True) if Path(name).is_file())


def _descend(folders: list[str]) -> bool:
    folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
    return True


def _suffix(file: InputFile) -> str:
    return PurePath(file.path).suffix.lower()


def _format_of(suffixes: Iterable[str], text: str) -> str:
    found = Counter(SUFFIXES.get(suffix) for suffix in suffixes)
    known = [kind for kind in found if kind is not None]
    if not known:
        got = ", ".join(sorted({suffix or "no ending" for suffix in suffixes})[:_SHOWN])
        raise InvalidInput("the kind of file is not known", where=text, got=got, expected=", ".join(SUFFIXES),
                           fix="name it with --format")  # fmt: skip
    if len(known) > 1:
        got = ", ".join(f"{found[kind]} of {kind}" for kind in sorted(known))
        raise InvalidInput("there are several kinds of file", where=text, got=got, expected="one",
                           fix="name one with a pattern such as *.parquet")  # fmt: skip
    return known[0]


def _stamped(path: Path) -> InputFile:
    try:
        status = path.stat()
    except OSError as error:
        raise InvalidInput(f"the file cannot be read: {error.strerror or error}", where=str(path)) from None
    return InputFile(str(path.absolute()), status.st_size, str(status.st_mtime_ns))


def _objects(text: str) -> list[InputFile]:
    from foretell.batch.object_inputs import find_objects

    return find_objects(text)


def _object(text: str) -> InputFile:
    from foretell.batch.object_inputs import one_object

    return one_object(text)
