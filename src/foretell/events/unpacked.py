"""Files that were compressed when they were rotated: what they hold, as a file without a name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from foretell.compression import compression_of
from foretell.errors import Unavailable
from foretell.forms.expanded import Expanded

_PIECE_BYTES = 2**20


def unpacked(path: Path, most: int | None = None) -> int:
    """A descriptor of what `path`, whose name says that it is compressed, holds, or of its first `most` bytes.

    Raises `InvalidInput` where it is damaged or ends too early, `Unavailable` where it cannot be read, or there is no
    room for what it holds.
    """
    kind = compression_of(path.name) or ""
    try:
        with (
            Expanded(str(path), path.stat().st_size, kind, lambda: path.open("rb")) as text,
            tempfile.TemporaryFile() as file,
        ):
            while piece := text.read(_PIECE_BYTES if most is None else min(most - file.tell(), _PIECE_BYTES)):
                file.write(piece)
            file.flush()
            return os.dup(file.fileno())
    except OSError as error:
        raise Unavailable(f"the file cannot be unpacked: {error.strerror or error}", where=str(path)) from None
