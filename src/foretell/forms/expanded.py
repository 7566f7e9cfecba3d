"""The text in compressed files. Nothing of it is written to the disk; only going forward is cheap."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from foretell.compression import BZIP2, GZIP, XZ, ZSTD, expanded_name
from foretell.errors import InvalidInput
from foretell.extras import needs

_READ_BYTES, _PIECE_BYTES = 2**18, 2**20
_MOST_XZ_BYTES = 2**27
_FREE_BYTES, _MOST_RATIO = 2**30, 2000
"""A text of more than `_FREE_BYTES` may be so many times as large as its file: beyond that nobody has written it."""
_MAGIC = {GZIP: (b"\x1f\x8b",), BZIP2: (b"BZh",), XZ: (b"\xfd7zXZ\0",),
          ZSTD: (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + at]) + b"\x2a\x4d\x18" for at in range(16)))}  # fmt: skip
_LONGEST_MAGIC = 6


class Expanded(io.RawIOBase):
    """The text of a compressed file, to be read and sought in: going back begins anew.

    All members or frames of it, one after the other. Its checksums are compared where the text they are of ends. Raises
    `InvalidInput` where it is of another kind than its name says, damaged, cut, or expands beyond reason.
    """

    def __init__(
        self,
        path: str,
        size: int,
        kind: str,
        opened: Callable[[], BinaryIO],
        said: Callable[[InvalidInput], InvalidInput] = lambda error: error,
    ) -> None:
        """`size`: bytes of the file. `opened` opens it as it is stored. `said` makes of an error what is raised."""
        self._path, self._size, self._kind, self._opened, self._said = path, size, kind, opened, said
        self._stored: BinaryIO | None = None
        self._begin()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        if offset < self._at:
            self._begin()
        while self._at < offset and self._has_piece():
            self._take(offset - self._at)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = memoryview(buffer).cast("B")
        if not self._has_piece():
            return 0
        piece = self._take(len(wanted))
        wanted[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if self._stored is not None:
            self._stored.close()
        super().close()

    def _begin(self) -> None:
        if self._stored is not None:
            self._stored.close()
        self._stored = self._opened()
        self._at, self._expanded, self._member = 0, 0, 1
        self._piece = memoryview(b"")
        pieces = self._frames if self._kind == ZSTD else self._members
        self._pieces = pieces(self._stored)

    def _has_piece(self) -> bool:
        """Whether there is more text, which is then in `_piece`."""
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._expanded += len(piece)
            if self._expanded > max(_FREE_BYTES, _MOST_RATIO * self._size):
                raise self._wrong("the file expands beyond reason", fix="leave it out, or decompress it first",
                                  expected=f"at most {_MOST_RATIO:,} times its {self._size:,} bytes")  # fmt: skip
            self._piece = memoryview(piece)
        return True

    def _take(self, most: int) -> memoryview:
        piece, self._piece = self._piece[:most], self._piece[most:]
        self._at += len(piece)
        return piece

    def _members(self, stored: BinaryIO) -> Iterator[bytes]:
        """By the standard library, in pieces of a bounded size."""
        data = stored.read(_READ_BYTES)
        while data:
            self._check_magic(data)
            machine, ended = _machine(self._kind), False
            while not machine.eof:
                if not data and machine.needs_input:
                    data = stored.read(_READ_BYTES)
                    ended = not data
                try:
                    piece = machine.decompress(data, _PIECE_BYTES)
                except _errors(self._kind) as error:
                    raise self._damaged(error) from None
                if ended and not piece and not machine.eof:
                    raise self._wrong(f"the {self._kind} data end too early", fix="fetch or compress it again",
                                      got=f"{self._expanded:,} bytes of text")  # fmt: skip
                data = b""
                yield piece
            data = _next_member(machine.unused_data, stored)
            self._member += 1

    def _frames(self, stored: BinaryIO) -> Iterator[bytes]:
        """By pyarrow."""
        with needs("pyarrow", "data", "reading .zst files"):
            import pyarrow as pa
        data = stored.read(_LONGEST_MAGIC)
        if not data:
            return
        self._check_magic(data)
        stored.seek(0)
        stream = pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), "zstd")
        while True:
            try:
                piece = stream.read(_PIECE_BYTES)
            except (pa.ArrowException, OSError) as error:
                raise self._damaged(error) from None
            if not piece:
                return
            yield piece

    def _check_magic(self, data: bytes) -> None:
        """Raises `InvalidInput` where what begins here is something else."""
        if data.startswith(_MAGIC[self._kind]):
            return
        if self._member > 1:
            raise self._wrong(f"something else follows the {self._kind} data",
                              got=f"{self._expanded:,} bytes of text, and then {data[:_LONGEST_MAGIC]!r}",
                              fix="cut it off, or compress the file again")  # fmt: skip
        other = next((kind for kind, magic in _MAGIC.items() if data.startswith(magic)), "")
        name = expanded_name(self._path).rpartition("/")[2]
        fix = "let its name end as its kind does" if other else f"where it is not compressed, name it {name}"
        raise self._wrong(f"this is no {self._kind} file", got=other or f"{data[:_LONGEST_MAGIC]!r} to begin with",
                          fix=fix)  # fmt: skip

    def _damaged(self, error: Exception) -> InvalidInput:
        member = f", in member {self._member:,}" if self._member > 1 else ""
        why = str(error).rpartition(": ")[2]
        if "memory" in why.lower():
            return self._wrong(f"the {self._kind} data need too much memory{member}: {why}",
                               fix="compress it with a smaller window, or decompress it first")  # fmt: skip
        return self._wrong(f"the {self._kind} data are damaged{member}: {why}", fix="fetch or compress it again",
                           got=f"{self._expanded:,} bytes of text before")  # fmt: skip

    def _wrong(self, what: str, **more: str) -> InvalidInput:
        return self._said(InvalidInput(what, where=self._path, **more))


class _Gzip:
    """`zlib` with the words of `bz2` and `lzma`."""

    def __init__(self) -> None:
        self._machine = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._machine.eof

    @property
    def needs_input(self) -> bool:
        return not self._machine.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._machine.unused_data

    def decompress(self, data: bytes, most: int) -> bytes:
        tail = self._machine.unconsumed_tail
        return self._machine.decompress(tail + data if data else tail, most)


def _machine(kind: str) -> Any:
    """What expands one member. Imported when it is needed: not every Python has all of them."""
    if kind == GZIP:
        return _Gzip()
    if kind == BZIP2:
        import bz2

        return bz2.BZ2Decompressor()
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_XZ_BYTES)


def _errors(kind: str) -> tuple[type[Exception], ...]:
    """What a machine raises."""
    if kind != XZ:
        return zlib.error, OSError
    import lzma

    return (lzma.LZMAError,)


def _next_member(data: bytes, stored: BinaryIO) -> bytes:
    """What follows a member, without the zeros that fill up the end; b"" where nothing does."""
    while not (data := data.lstrip(b"\0")):
        data = stored.read(_READ_BYTES)
        if not data:
            return b""
    return data + stored.read(_LONGEST_MAGIC) if len(data) < _LONGEST_MAGIC else data
