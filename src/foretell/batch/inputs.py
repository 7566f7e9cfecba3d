"""What DATA means: its format, and its files as they are now. Looks at names, sizes and times only."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

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
    """The format of `data`, and its files in order of name. `data`: a file, a folder, or a pattern with `*`.

    In a folder, hidden files and names that start with "_" are left out, as readers of such folders do. Raises
    `InvalidInput` where there is nothing, where the format is not known, and where a folder holds several.
    """
    text = str(data)
    if fmt is not None and fmt not in FORMATS:
        raise InvalidInput(f"unknown format {fmt!r}", where=text, fix=nearest(fmt, FORMATS))
    paths = _paths(text)
    if not paths:
        raise InvalidInput("there is no such file", where=text, expected="a file, a folder or a pattern such as *.csv")
    kind = fmt or _format_of(paths, text)
    wanted = [path for path in paths if fmt is not None or SUFFIXES.get(path.suffix.lower()) == kind]
    return kind, [_stamped(path) for path in wanted]


def changed(file: InputFile) -> str:
    """How a file differs from what it was, for people; "" where it does not."""
    try:
        now = _stamped(Path(file.path))
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


def _format_of(paths: Iterable[Path], text: str) -> str:
    found = Counter(SUFFIXES.get(path.suffix.lower()) for path in paths)
    known = [kind for kind in found if kind is not None]
    if not known:
        suffixes = sorted({path.suffix or "no ending" for path in paths})[:_SHOWN]
        raise InvalidInput("the kind of file is not known", where=text, got=", ".join(suffixes),
                           expected=", ".join(SUFFIXES), fix="name it with --format")  # fmt: skip
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
