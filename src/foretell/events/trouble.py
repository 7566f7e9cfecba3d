"""What goes wrong around a stream, and not with one of its events."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foretell.errors import InferenceError, ModelError
from foretell.file_lock import NoRoom


class TooManyDead(ModelError):
    """More events ended without an answer than the stream may have."""


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the system says of writing, as an error of ours."""
    try:
        yield
    except InferenceError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        fix = "make room, and run the same command again: it goes on where it stopped" if full else ""
        raise NoRoom(f"cannot be written: {error.strerror or error}", where=str(path), fix=fix) from error
