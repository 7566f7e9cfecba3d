"""A file that grows, and what stands in it so far."""

from __future__ import annotations

import hashlib
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self

_COPIED_AT_ONCE = 2**20


class Written:
    """`size`: bytes so far; `sha256`: of them, in hexadecimal digits."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, content: bytes | memoryview) -> None:
        self._file.write(content)
        self._digest.update(content)
        self.size += len(content)

    def copy(self, file: BufferedReader, size: int | None = None) -> None:
        """The next `size` bytes of `file`, or all that are left. Raises `ValueError` where it has fewer."""
        left = size
        buffer = memoryview(bytearray(_COPIED_AT_ONCE))
        while left is None or left > 0:
            got = file.readinto(buffer if left is None else buffer[: min(left, len(buffer))])
            if not got:
                break
            self.write(buffer[:got])
            left = None if left is None else left - got
        if left:
            raise ValueError(f"the file ends {left:,} bytes too early")
