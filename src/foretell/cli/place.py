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
    if wrong := _wrong(path):
        raise InvalidSetting(f"{what} cannot be written: {wrong}", where=str(path), fix=fix)
    if not path.exists():
        return
    if not path.is_file() or (path.stat().st_size and not is_ours(path)):
        raise InvalidSetting(f"{what} would take the place of something else", where=str(path), fix=fix)


def _wrong(path: Path) -> str:
    """Why no file can be put there, for people; "" where one can."""
    if not path.name or path.is_dir():
        return "this is a folder"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    return "" if os.access(path.parent, os.W_OK) else f"this user may not write into {path.parent.absolute()}"
