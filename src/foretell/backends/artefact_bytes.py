"""The bytes of an artefact, be it one file or a folder: their digest and their number."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from foretell.errors import InvalidModel, UnsafeModel


def digest_of(path: Path) -> str:
    """ "sha256:..." of a file, or of the names and contents of all files of a folder, hidden ones left out.

    Raises `InvalidModel` where one cannot be read, and for a link in a folder that leaves it, but to the blobs beside a
    snapshot of the Hugging Face hub's cache.
    """
    try:
        if path.is_file():
            with path.open("rb") as file:
                return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        whole, roots = hashlib.sha256(), _roots(path.resolve())
        for each in files_of(path):
            if not any(each.resolve().is_relative_to(root) for root in roots):
                raise InvalidModel("a link leads out of the folder", where=str(each), fix="copy what it points to")
            with each.open("rb") as file:
                inner = hashlib.file_digest(file, "sha256").digest()
            name = each.relative_to(path).as_posix().encode()
            whole.update(len(name).to_bytes(8, "big") + name + inner)
    except OSError as error:
        raise InvalidModel("it cannot be read", where=str(path), got=error.strerror or error) from error
    return f"sha256:{whole.hexdigest()}"


def _roots(folder: Path) -> list[Path]:
    """Where the files of a folder may lie: in it, or where the cache of the hub (models--AUTHOR--NAME/snapshots/COMMIT)
    keeps what its links stand for."""
    snapshots = folder.parent
    in_cache = snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--")
    return [folder, snapshots.parent / "blobs"] if in_cache else [folder]


def digest_with(path: Path, files: Mapping[str, Path]) -> str:
    """`sha256:` of the file; where it needs further files, of the digests of all, those under the names it has."""
    main = _sha256(path)
    if not files:
        return f"sha256:{main}"
    whole = hashlib.sha256(main.encode())
    for name in sorted(files):
        whole.update(f"\n{name}\0{_sha256(files[name])}".encode())
    return f"sha256:{whole.hexdigest()}"


def check_digest(digest: str, sha256: str | None, where: Path) -> None:
    """Raises `UnsafeModel` unless `digest` is the one that was given, if one was."""
    if sha256 is not None and digest.removeprefix("sha256:") != sha256.strip().lower().removeprefix("sha256:"):
        fix = "this is another model than the one you named: do not open it before you know why"
        raise UnsafeModel("the SHA-256 is not the one given", where=str(where), got=digest, fix=fix)


def files_of(path: Path) -> list[Path]:
    """The file itself, or all files below a folder, hidden ones left out, in order of name."""
    if not path.is_dir():
        return [path]
    found = (each for each in path.rglob("*") if each.is_file())
    return sorted(each for each in found if not any(part.startswith(".") for part in each.relative_to(path).parts))


def bytes_of(path: Path) -> int:
    """Of the file, or of all files of the folder."""
    return sum(each.stat().st_size for each in files_of(path))


def file_stamp(path: Path) -> tuple[int, int, int]:
    """Changes when the file does. Raises `InvalidModel` where it is gone."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidModel("the file cannot be read", where=str(path), got=error.strerror or error) from error
    return status.st_ino, status.st_size, status.st_mtime_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
