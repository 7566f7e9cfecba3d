"""Files that were compressed when they were rotated: what they hold, as a file without a name."""

from __future__ import annotations

import importlib
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

from foretell.errors import InvalidInput, Unavailable

_KINDS = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}
ENDINGS = tuple(_KINDS)
_PIECE_BYTES = 2**20


def is_packed(path: Path) -> bool:
    """Whether its name says so."""
    return path.suffix in _KINDS


def unpacked(path: Path, most: int | None = None) -> int:
    """A descriptor of what `path` holds, or of its first `most` bytes, on the disk.

    Raises `InvalidInput` where it is damaged or ends too early, `Unavailable` where it cannot be read, or there is no
    room for what it holds.
    """
    kind: Any = importlib.import_module(_KINDS[path.suffix])
    try:
        with kind.open(path, "rb") as packed, tempfile.TemporaryFile(buffering=0) as file:
            while most is None or most > 0:
                piece = packed.read(_PIECE_BYTES if most is None else min(most, _PIECE_BYTES))
                if not piece:
                    break
                file.write(piece)
                most = None if most is None else most - len(piece)
            return os.dup(file.fileno())
    except (EOFError, zlib.error, getattr(kind, "LZMAError", EOFError), OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise Unavailable(f"the file cannot be unpacked: {error.strerror}", where=str(path)) from None
        what, fix = f"the compressed file is damaged: {error}", "put what it holds beside it, and take it away"
        raise InvalidInput(what, where=str(path), fix=fix) from None
