"""Which files are compressed: their names tell."""

from __future__ import annotations

import os

GZIP, BZIP2, XZ, ZSTD = "gzip", "bzip2", "xz", "zstd"
KINDS = {".gz": GZIP, ".bz2": BZIP2, ".xz": XZ, ".zst": ZSTD}
"""By the ending of a name."""
ENDINGS = tuple(KINDS)


def compression_of(path: str) -> str | None:
    """What has compressed the file of this name; None where nothing has."""
    return KINDS.get(os.path.splitext(path)[1].lower())


def expanded_name(path: str) -> str:
    """The name of what is in the file."""
    return os.path.splitext(path)[0] if compression_of(path) else path
