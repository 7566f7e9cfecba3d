"""A file that grows, and what stands in it so far."""

from __future__ import annotations

import hashlib
from functools import partial
from io import BufferedReader
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Self

from foretell.batch.behind import Behind

_COPIED_AT_ONCE = 2**20
_BUFFERS = 3
"""One that is filled, one that waits for its digest, and one that is being digested."""


class Written:
    """`size`: bytes so far. Their digest is made by another thread, which takes as long as writing them."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._digest = hashlib.sha256()
        self._digesting = Behind("digest")
        self._buffers = cycle([memoryview(bytearray(_COPIED_AT_ONCE)) for _ in range(_BUFFERS)])
        self._ended = False
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._digesting.close()
        self._ended = True
        self._file.close()

    @property
    def sha256(self) -> str:
        """Of all bytes, in hexadecimal digits, once the file is closed."""
        if not self._ended:
            raise RuntimeError("the file is still being written")
        return self._digest.hexdigest()

    def write(self, content: bytes | memoryview) -> None:
        """`content` must stay as it is until two more pieces are written."""
        left = memoryview(content)
        while left:
            left = left[self._file.write(left) :]
        self._digesting.put(partial(self._digest.update, content))
        self.size += len(content)

    def copy(self, file: BufferedReader, size: int | None = None) -> None:
        """The next `size` bytes of `file`, or all that are left. Raises `ValueError` where it has fewer."""
        left = size
        while left is None or left > 0:
            buffer = next(self._buffers)
            got = file.readinto(buffer if left is None else buffer[: min(left, len(buffer))])
            if not got:
                break
            self.write(buffer[:got])
            left = None if left is None else left - got
        if left:
            raise ValueError(f"the file ends {left:,} bytes too early")
