"""Inputs as files that can be read anywhere, be they on this machine or in object storage."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, cast

from foretell.batch.address import is_address, parse
from foretell.batch.bucket import Bucket, Buckets, Changed
from foretell.batch.shards import InputFile
from foretell.errors import InvalidInput

Span = tuple[int, int]
"""Bytes of a file, from the first to before the last."""

_BUFFER_BYTES = 2**20
_PIECE_BYTES = 8 * 2**20
_GAP_BYTES = 32 * 2**10
_AT_ONCE = 8
_AHEAD = 3
"""Pieces of what is read in order that are on their way, or here and not read."""
_KEPT = 2
MOST_AHEAD_BYTES = 32 * 2**20
"""The largest set of spans that is fetched as one."""


def names_its_version(file: InputFile) -> bool:
    """Whether every request for the file says which version of it is meant, so that no change goes unnoticed."""
    return is_address(file.path) and '"' in file.stamp


class Files:
    """Opens inputs. Objects of one bucket share a client and its connections; closing gives all back."""

    def __init__(self) -> None:
        self._buckets = Buckets()
        self._threads: ThreadPoolExecutor | None = None

    def open(self, file: InputFile) -> BinaryIO:
        """The file, to be read and sought in. Raises `OSError` where a local one cannot be opened.

        Reading an object raises `ChangedInput` once it is not what `file` says any more, and `Unreachable`.
        """
        if not is_address(file.path):
            return open(file.path, "rb")
        return cast("BinaryIO", io.BufferedReader(self.open_object(file), _BUFFER_BYTES))

    def open_object(self, file: InputFile) -> ObjectFile:
        """The same without a buffer of its own, for an input in object storage."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, "foretell-fetch")
        return ObjectFile(self._buckets.of(parse(file.path)), file, self._threads)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None


def read_on(stream: BinaryIO, start: int, stop: int) -> None:
    """Goes to `start` in a file that `Files.open` has opened; what lies before `stop` will be read in order."""
    raw = getattr(stream, "raw", None)
    if isinstance(raw, ObjectFile):
        raw.stream(start, stop)
    stream.seek(start)


class ChangedInput(InvalidInput):
    """An input is not what it was when the job was planned: then nothing of it counts."""


class ObjectFile(io.RawIOBase):
    """An object, read by ranges of bytes. Every request names the version of it that is meant."""

    def __init__(self, bucket: Bucket, file: InputFile, threads: ThreadPoolExecutor) -> None:
        self._bucket, self._file, self._threads = bucket, file, threads
        self._key = parse(file.path).key
        self._etag = file.stamp if names_its_version(file) else None
        self._at = 0
        self._streamed: Span = (0, 0)
        self._ahead: dict[int, Future[memoryview]] = {}
        self._sets: list[tuple[Span, ...]] = []
        self._fetched: OrderedDict[tuple[Span, ...], list[memoryview]] = OrderedDict()

    def expect(self, sets: Sequence[Sequence[Span]]) -> None:
        """What will be read now: sets of spans, each of which is fetched as one when the first byte of it is asked for.

        The last two sets are kept. A set of more than `MOST_AHEAD_BYTES` is not fetched as one.
        """
        joined = [_joined(spans) for spans in sets]
        self._sets = [spans for spans in joined if sum(stop - start for start, stop in spans) <= MOST_AHEAD_BYTES]

    def stream(self, start: int, stop: int) -> None:
        """The bytes from `start` to `stop` will be read in order: pieces of them are fetched ahead."""
        self._streamed = start, stop
        self._ahead.clear()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def size(self) -> int:
        return self._file.size

    def read(self, size: int | None = -1) -> Any:
        """As a buffer, which is not copied."""
        stop = self._file.size if size is None or size < 0 else min(self._file.size, self._at + size)
        start, self._at = self._at, max(self._at, stop)
        return self._bytes(start, stop) if stop > start else b""

    def readall(self) -> bytes:
        return bytes(self.read())

    def readinto(self, buffer: Any) -> int:
        wanted = memoryview(buffer).cast("B")
        start, stop = self._streamed
        content = self._next(len(wanted)) if start <= self._at < stop else self.read(len(wanted))
        wanted[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._fetched.clear()
        for future in self._ahead.values():
            future.cancel()
        self._ahead.clear()
        super().close()

    def _next(self, most: int) -> memoryview:
        """Up to `most` of the bytes that are read in order, from where the file stands to the end of a piece."""
        start, stop = self._streamed
        number, offset = divmod(self._at - start, _PIECE_BYTES)
        for each in [each for each in self._ahead if each < number]:
            del self._ahead[each]
        for each in range(number, number + _AHEAD):
            left = start + each * _PIECE_BYTES
            if each not in self._ahead and left < stop:
                self._ahead[each] = self._threads.submit(self._range, (left, min(left + _PIECE_BYTES, stop)))
        content = self._ahead[number].result()[offset : offset + most]
        self._at += len(content)
        return content

    def _bytes(self, start: int, stop: int) -> memoryview:
        for spans in self._sets:
            for number, (left, right) in enumerate(spans):
                if left <= start and stop <= right:
                    return self._set(spans)[number][start - left : stop - left]
        return self._fetch([(start, stop)])[0]

    def _set(self, spans: tuple[Span, ...]) -> list[memoryview]:
        if spans not in self._fetched:
            while len(self._fetched) >= _KEPT:
                self._fetched.popitem(last=False)
            self._fetched[spans] = self._fetch(spans)
        return self._fetched[spans]

    def _fetch(self, spans: Sequence[Span]) -> list[memoryview]:
        pieces = [
            (at, min(at + _PIECE_BYTES, stop)) for start, stop in spans for at in range(start, stop, _PIECE_BYTES)
        ]
        got = iter([self._range(pieces[0])] if len(pieces) == 1 else list(self._threads.map(self._range, pieces)))
        made = []
        for start, stop in spans:
            parts = [next(got) for _ in range(start, stop, _PIECE_BYTES)]
            made.append(parts[0] if len(parts) == 1 else memoryview(b"".join(parts)))
        return made

    def _range(self, span: Span) -> memoryview:
        try:
            content = memoryview(self._bucket.read_range(self._key, *span, self._etag))
        except Changed as error:
            fix = "run with --fresh once it is at rest, to score what it holds then"
            raise ChangedInput(
                f"the input changed while it was read: {error}", where=self._file.path, fix=fix
            ) from None
        if len(content) != span[1] - span[0]:
            what = "the object storage answered with another number of bytes"
            raise InvalidInput(what, where=self._file.path, expected=span[1] - span[0], got=len(content))
        return content


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The same bytes in order, with neighbours as one where hardly anything is between."""
    made: list[Span] = []
    for start, stop in sorted(spans):
        if made and start - made[-1][1] <= _GAP_BYTES:
            made[-1] = made[-1][0], max(made[-1][1], stop)
        else:
            made.append((start, stop))
    return tuple(made)
