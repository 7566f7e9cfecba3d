"""The folder that the demo fills: its own, and no other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from foretell.errors import InvalidSetting

_MARK = ".foretell-demo"


@dataclass(frozen=True, slots=True)
class DemoFolder:
    path: Path

    @classmethod
    def claim(cls, path: Path) -> DemoFolder:
        """Makes the folder, or takes one that an earlier demo made.

        Raises `InvalidSetting` for a folder with anything else in it, for one that another user has filled, whose links
        could lead anywhere, and for what is no folder or cannot be made.
        """
        try:
            if path.is_dir() and any(path.iterdir()):
                _check_ours(path)
            path.mkdir(parents=True, exist_ok=True)
            (path / _MARK).write_text("Made by foretell demo, which may overwrite its files here.\n", "utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            raise InvalidSetting(
                f"the folder cannot be used: {reason}", where=str(path), fix="--out names it"
            ) from error
        return cls(path)

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def plot(self) -> Path:
        return self.path / "latency.png"

    def new(self, *parts: str) -> Path:
        """The path of a file to write; its folder is there."""
        file = self.path.joinpath(*parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file


def _check_ours(path: Path) -> None:
    fix = "name an empty or a new one with --out"
    if not (path / _MARK).is_file():
        raise InvalidSetting("this folder holds something else", where=str(path), fix=fix)
    if os.name == "posix" and path.stat().st_uid != os.geteuid():
        raise InvalidSetting("this folder belongs to another user", where=str(path), fix=fix)
