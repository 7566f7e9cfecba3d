"""Files that are put aside when they are large enough: `log.jsonl` becomes `log.000001.jsonl`, and so on."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path


class Rotation:
    """Of one file. At most `most_files` of about `most_bytes` are kept, the one that is written to among them."""

    def __init__(self, path: str, most_bytes: int, most_files: int) -> None:
        self.most_bytes, self._most_files = most_bytes, most_files
        self._path = Path(path)
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        self._pattern = re.compile(rf"{stem}\.(\d{{6,18}}){suffix}")

    def put_aside(self) -> None:
        """Gives the file the next number, and removes those that are too many, oldest first. Raises `OSError`."""
        numbers = self._numbers()
        number = max(numbers, default=0) + 1
        os.rename(self._path, self._path.with_name(f"{self._path.stem}.{number:06}{self._path.suffix}"))
        numbers = self._numbers()
        for oldest in sorted(numbers)[: max(0, len(numbers) - self._most_files + 1)]:
            with contextlib.suppress(FileNotFoundError):
                numbers[oldest].unlink()

    def _numbers(self) -> dict[int, Path]:
        found = {}
        for entry in os.scandir(self._path.parent):
            if match := self._pattern.fullmatch(entry.name):
                found[int(match[1])] = Path(entry.path)
        return found
