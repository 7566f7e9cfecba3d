"""A folder of this machine for files in the making: of one process, and readable by nobody else's."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from foretell.batch.owner import Owner
from foretell.batch.store import told

_OTHERS = 0o077
_NAME = re.compile(r"foretell-(?P<user>\d+)-(?P<machine>\w*)-(?P<process>\d+)-(?P<started>\d*)")


class Scratch:
    """Made when it is first used. Its name tells whose it is, so that what a dead process has left can be found."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def path(self, name: str) -> Path:
        """For a file of this name. Raises `NoRoom`."""
        if self._folder is None:
            self._folder = _made()
        with told(self._folder):
            self._folder.mkdir(mode=0o700, exist_ok=True)
        return self._folder / name

    def close(self) -> None:
        """Removes the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def clear(self) -> None:
        """Removes the folder, and those of processes of this user and machine that have ended."""
        self.close()
        for folder in Path(tempfile.gettempdir()).glob(f"foretell-{os.getuid()}-*"):
            found = _NAME.fullmatch(folder.name)
            if found is None:
                continue
            owner = Owner(found["machine"], int(found["process"]), found["started"])
            if owner.is_here and not owner.runs and _is_ours(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _made() -> Path:
    this = Owner.this()
    name = f"foretell-{os.getuid()}-{this.machine}-{this.process}-{this.started}"
    folder = Path(tempfile.gettempdir()) / name
    with told(folder), contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if _is_ours(folder):
        return folder
    with told(folder):
        return Path(tempfile.mkdtemp(prefix="foretell-"))  # somebody else has put something in its place


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & _OTHERS
