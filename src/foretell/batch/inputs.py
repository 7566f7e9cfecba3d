"""What DATA means: its format, and its files as they are now. Looks at names, sizes, times and etags only."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from foretell.batch.address import is_address
from foretell.batch.archives import is_archive, names_in
from foretell.batch.listing import Listing, is_listing
from foretell.batch.shards import InputFile
from foretell.batch.sql.naming import is_query
from foretell.compression import ENDINGS, compression_of, expanded_name
from foretell.errors import InvalidInput, nearest

SUFFIXES = {
    ".parquet": "parquet", ".pq": "parquet",
    ".csv": "csv", ".tsv": "tsv",
    ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".npy": "npy",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".jpg": "images", ".jpeg": "images", ".png": "images", ".webp": "images", ".bmp": "images", ".gif": "images",
    ".txt": "texts",
}  # fmt: skip
EXPANDED = ("csv", "tsv", "jsonl")
"""Kinds that are read from compressed files, too."""
ARCHIVES = "archives"
ROWS_ARE_FILES = ("images", "texts")
"""Kinds of which each file, in a folder or an archive, is a row."""
LINES = "lines"
FORMATS = tuple(sorted({*SUFFIXES.values(), LINES}))
_FIXES = {
    **dict.fromkeys(ENDINGS, "let it end in .csv.gz or .jsonl.gz and the like, or say --format; else decompress it"),
    ".lz4": "decompress it first",
    ".json": "write one object a line, as JSON Lines (.jsonl)", ".xlsx": "save it as CSV",
}  # fmt: skip
"""By the ending of a file whose kind is not known."""
_SHOWN = 5
_LOOKED_AT = 10_000
"""Names in an archive that tell its kind, or nothing does."""
_GIVEN_ALONE = 1000
"""Files that may be named one by one where each is a row; a folder of them is one input, however many it has."""


def find_inputs(data: str | Path, fmt: str | None = None) -> tuple[str, list[InputFile]]:
    """The format of `data`, and its files in order of name. `data`: a file, a folder, or a pattern with `*`; or the
    address of an object, of all below a prefix, or a pattern of them.

    In a folder, hidden files and names that start with "_" are left out, as readers of such folders do. A folder whose
    files are a row each is one input; archives are looked into by name. Raises `InvalidInput` where there is nothing,
    where the format is not known, where a folder holds several, and for a name that no record can hold.
    """
    kind, files = _found(str(data), fmt)
    for file in files:
        if not is_utf8(file.path):
            raise InvalidInput("the name is no UTF-8", where=shown(file.path), fix="rename it")
    if kind in EXPANDED:
        _check_once(files)
    return kind, files


def is_utf8(name: str) -> bool:
    """Whether the bytes of a name are text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """Any name as text."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _found(text: str, fmt: str | None) -> tuple[str, list[InputFile]]:
    if fmt is not None and fmt not in FORMATS:
        raise InvalidInput(f"unknown format {fmt!r}", where=text, fix=nearest(fmt, FORMATS))
    if os.path.isdir(text) and text:
        return _in_folder(Listing.of(text), text, fmt)
    files = _objects(text) if is_address(text) else [_stamped(path) for path in _paths(text)]
    if not files:
        raise _nothing(text)
    kinds = Counter(kind_of(file.path) for file in files)
    kind = fmt or _only_kind(kinds, [file.path for file in files], text)
    if fmt is None:
        files = [file for file in files if kind_of(file.path) == kind]
        kind = LINES if kind == "texts" else kind
    if kind == ARCHIVES:
        kind = _kind_in(files[0])
    elif kind in ROWS_ARE_FILES and len(files) > _GIVEN_ALONE:
        raise InvalidInput("too many files are named one by one", where=text, expected=f"at most {_GIVEN_ALONE:,}",
                           got=f"{len(files):,}", fix=_pack(text))  # fmt: skip
    return kind, files


def kind_of(name: str) -> str | None:
    """The format that the ending of a name tells."""
    stem, *endings = name[name.rfind("/") + 1 :].rsplit(".", 2)
    hidden = not stem.strip(".")  # a dot in front begins no ending
    return _kind_of(name if hidden else ".".join(["file", *endings]))


@lru_cache(maxsize=1024)
def _kind_of(name: str) -> str | None:
    if is_archive(name):
        return ARCHIVES
    kind = SUFFIXES.get(os.path.splitext(expanded_name(name))[1].lower())
    return kind if kind in EXPANDED or not compression_of(name) else None


def changed(file: InputFile) -> str:
    """How a file differs from what it was, for people; "" where it does not. The files of a folder that is one input
    are looked at one by one when they are read."""
    if is_query(file):
        return ""
    if is_listing(file):
        return "" if Path(file.path).is_dir() else "there is no such folder any more"
    try:
        now = _object(file.path) if is_address(file.path) else _stamped(Path(file.path))
    except InvalidInput as error:
        return error.what
    if now.size != file.size:
        return f"it had {file.size:,} bytes, and has {now.size:,}"
    return "" if now.stamp == file.stamp else "it was written again"


def _in_folder(listing: Listing, text: str, fmt: str | None) -> tuple[str, list[InputFile]]:
    kinds = Counter(kind_of(name) for name in listing.names())
    if not len(listing):
        raise _nothing(text)
    if fmt is not None and fmt not in ROWS_ARE_FILES:
        return fmt, listing.inputs()
    kind = _only_kind(kinds, listing.names(), text) if fmt is None else fmt
    if fmt is not None and not kinds[fmt]:
        if not kinds[ARCHIVES]:
            raise InvalidInput(f"there are no {fmt} in the folder", where=text, got=_endings(listing.names()))
        kind = ARCHIVES
    found = listing if kinds[kind] == len(listing) else listing.only(lambda name: kind_of(name) == kind)
    if kind == ARCHIVES:
        files = found.inputs()
        return fmt or _kind_in(files[0]), files
    return kind, [found.as_input()] if kind in ROWS_ARE_FILES else found.inputs()


def _kind_in(archive: InputFile) -> str:
    """Whether an archive holds images or texts."""
    with _opened(archive) as file:
        names = list(islice(names_in(archive.path, file), _LOOKED_AT))
    kinds = Counter(kind_of(name) for name in names if kind_of(name) in ROWS_ARE_FILES)
    if not kinds:
        raise InvalidInput("neither images nor texts are in the archive", where=archive.path, got=_endings(names),
                           fix="unpack it, and name the folder")  # fmt: skip
    return _only_kind(kinds, names, archive.path)


@contextmanager
def _opened(file: InputFile) -> Iterator[BinaryIO]:
    """Where it lies in object storage, what it takes to read there is imported."""
    if not is_address(file.path):
        with open(file.path, "rb") as opened:
            yield opened
        return
    from foretell.batch.files import Files

    files = Files()
    try:
        with files.open(file) as opened:
            yield opened
    finally:
        files.close()


def _check_once(files: Sequence[InputFile]) -> None:
    """Raises `InvalidInput` where a file is there as it is and compressed: its rows would be scored twice."""
    names = {file.path for file in files}
    for file in files:
        name = expanded_name(file.path)
        if name != file.path and name in names:
            raise InvalidInput("this is there once more, not compressed", where=file.path, got=name,
                               fix="name one of them, or a pattern such as *.csv.gz")  # fmt: skip


def _pack(text: str) -> str:
    return "pack them into tar archives" if is_address(text) else "name their folder"


def _paths(text: str) -> list[Path]:
    if os.path.exists(text) or not glob.has_magic(text):
        return [Path(text)] if os.path.isfile(text) else []
    return sorted(Path(name) for name in glob.glob(text, recursive=True) if os.path.isfile(name))


def _nothing(text: str) -> InvalidInput:
    return InvalidInput("there is no such file", where=text, expected="a file, a folder or a pattern such as *.csv")


def _endings(names: Iterable[str]) -> str:
    return ", ".join(sorted({os.path.splitext(name)[1] or "no ending" for name in names})[:_SHOWN])


def _only_kind(found: Mapping[str | None, int], names: Iterable[str], text: str) -> str:
    known = sorted(kind for kind in found if kind is not None)
    if len(known) > 1 and "texts" in known:
        known.remove("texts")  # a note beside the data
    if not known:
        endings = _endings(names)
        fix = _FIXES.get(endings, "name it with --format")
        raise InvalidInput("the kind of file is not known", where=text, got=endings, expected=", ".join(SUFFIXES),
                           fix=fix)  # fmt: skip
    if len(known) > 1:
        got = ", ".join(f"{found[kind]:,} of {kind}" for kind in known)
        raise InvalidInput("there are several kinds of file", where=text, got=got, expected="one",
                           fix="name one with a pattern such as *.parquet, or with --format")  # fmt: skip
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
