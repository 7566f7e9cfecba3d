"""Estimators in skops files, which name the types they hold so that these can be agreed to before any is made."""

from __future__ import annotations

import copy
import io
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from foretell.backends.artefact_file import Artefact
from foretell.backends.opened import Opened
from foretell.backends.sklearn.model import SklearnModel
from foretell.backends.sklearn.quiet_skops import import_skops
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, UnsafeModel
from foretell.extras import needs

MAX_ENTRIES = 100_000
MAX_UNPACKED_BYTES = 8 * 2**30
MAX_SCHEMA_BYTES = 64 * 2**20
_PIECE_BYTES = 4096


def open_skops(path: Path, settings: ModelSettings) -> Opened:
    """Reads the file once, and checks what it would unpack and make; nothing of it is made before `load`.

    Raises `UnsafeModel` for types that neither skops nor `settings.trust` trusts, `InvalidModel` for a file that is
    none of skops, `MissingExtra` without skops.
    """
    artefact = Artefact.read(path)
    if settings.sha256 is not None:
        artefact.check_digest(settings.sha256)
    _check_archive(artefact)
    trusted = _agreed_types(artefact, settings.trust)
    return Opened(
        model=SklearnModel(lambda: _make(artefact, trusted), path.name, settings),
        name=path.stem,
        digest=artefact.digest,
        source=str(path),
        framework="scikit-learn",
        size_bytes=len(artefact.data),
        passes=(),
        permission="trust",
    )


def _check_archive(artefact: Artefact) -> None:
    where = str(artefact.path)
    try:
        with zipfile.ZipFile(io.BytesIO(artefact.data)) as archive:
            entries = archive.infolist()
            schema = archive.NameToInfo.get("schema.json")
            schema_bytes = 0 if schema is None else _unpacked_bytes(archive, schema)
    except Exception as error:  # what a stranger wrote fails in every way that unpacking can
        raise InvalidModel(f"not a skops file: {error}", where=where, expected="a whole zip archive") from error
    if schema is None:
        raise InvalidModel("not a skops file", where=where, expected="an archive with a schema.json")
    if schema_bytes > MAX_SCHEMA_BYTES:
        raise UnsafeModel("too large a schema", where=where, expected=f"at most {MAX_SCHEMA_BYTES} bytes")
    if len(entries) > MAX_ENTRIES:
        raise UnsafeModel("too many entries", where=where, expected=f"at most {MAX_ENTRIES}", got=len(entries))
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED_BYTES:
        raise UnsafeModel("too large unpacked", where=where, expected=f"at most {MAX_UNPACKED_BYTES}", got=unpacked)
    for entry in entries:
        name = entry.filename
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
            raise UnsafeModel("an entry points out of the archive", where=where, got=repr(name))


def _unpacked_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """The size that an entry says or has, whichever is larger, counted to a little over what a schema may have.

    Whoever reads an entry whole unpacks all of it, whatever size it says.
    """
    honest = copy.copy(entry)
    honest.file_size = 2 * (MAX_SCHEMA_BYTES + _PIECE_BYTES)
    unpacked = 0
    if entry.file_size <= MAX_SCHEMA_BYTES:
        with archive.open(honest) as stream:
            while unpacked <= MAX_SCHEMA_BYTES and (piece := stream.read(_PIECE_BYTES)):
                unpacked += len(piece)
    return max(entry.file_size, unpacked)


def _agreed_types(artefact: Artefact, trust: tuple[str, ...]) -> list[str]:
    """The types beside skops' own that may be made."""
    with needs("skops", "sklearn", "opening a .skops file"):
        skops_io = import_skops()
    try:
        untrusted = set(skops_io.get_untrusted_types(data=artefact.data))
    except Exception as error:
        raise _unreadable(artefact, error) from error
    refused = sorted(untrusted - set(trust))
    if refused:
        fix = "if you know them and trust the author: " + " ".join(f"--trust {name}" for name in refused)
        what = "it brings types that nobody agreed to"
        raise UnsafeModel(what, where=str(artefact.path), got=", ".join(refused), fix=fix)
    return sorted(untrusted)


def _make(artefact: Artefact, trusted: list[str]) -> Any:
    try:
        return import_skops().loads(artefact.data, trusted=trusted)
    except Exception as error:
        raise _unreadable(artefact, error) from error


def _unreadable(artefact: Artefact, error: Exception) -> InvalidModel:
    text = str(error).strip().partition("\n")[0]
    return InvalidModel(f"skops cannot read it: {type(error).__name__}: {text}", where=str(artefact.path))
