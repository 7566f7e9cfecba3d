"""Where a command may put a file of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from foretell.errors import InvalidSetting


def check_place(path: Path, what: str, is_ours: Callable[[Path], bool], flag: str) -> None:
    """Raises `InvalidSetting` before the work is done where no file can be put there, or something else than an empty
    file or one that `is_ours` lies there: it would be replaced, were it the model itself."""
    fix = f"name another file with {flag}"
    if not path.name or path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InvalidSetting(f"{what} cannot be written there", where=str(path), expected="a file", fix=fix)
    if not path.exists():
        return
    if not path.is_file() or (path.stat().st_size and not is_ours(path)):
        raise InvalidSetting(f"{what} would take the place of something else", where=str(path), fix=fix)
