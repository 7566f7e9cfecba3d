"""What holds files of which each is a row: a folder, an archive, or nothing but the file itself."""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from foretell.batch import archives
from foretell.batch.files import Files
from foretell.batch.inputs import kind_of
from foretell.batch.listing import Listing, is_listing
from foretell.batch.shards import InputFile, Shard, cut
from foretell.errors import InvalidInput, RowError

Count = Callable[[int], int]
"""How many files a shard has at most, of so many in all."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. `why`: the reason why it cannot be read; its content is then empty. `where`: it, for people."""

    name: str
    where: str
    content: bytes = b""
    why: RowError | None = None


class Holder(ABC):
    """Files of one kind in one input, in a fixed order, numbered from 0. Nothing is ever written to the disk.

    `most_bytes`: larger files are not read; their entries say so.
    """

    def __init__(self, file: InputFile, kind: str, most_bytes: int, files: Files) -> None:
        self.file, self.kind, self.most_bytes, self.files = file, kind, most_bytes, files

    _file: BinaryIO | None = None

    @abstractmethod
    def shards(self, number: int, most: Count, *, first: bool) -> list[Shard]:
        """The files cut into shards; `number` is that of the input. With `first`, the first shard is small."""

    @abstractmethod
    def read(self, shard: Shard) -> Iterator[Entry]:
        """The files of a shard, in order. Raises `InvalidInput` where the input is not what it was."""

    def close(self) -> None:
        """Gives back what reading has opened."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def opened(self) -> BinaryIO:
        """The input itself."""
        if self._file is None:
            self._file = self.files.open(self.file)
        return self._file

    def wanted(self, name: str) -> bool:
        return kind_of(name) == self.kind

    def bad(self, name: str, where: str, what: str, **more: str) -> Entry:
        """An entry that cannot be read."""
        return Entry(shown(name), where, why=RowError.of(InvalidInput(what, where=where, **more)))

    def too_large(self, name: str, where: str, size: int) -> Entry:
        return self.bad(name, where, "the file is too large", expected=f"at most {self.most_bytes:,} bytes",
                        got=f"{size:,}")  # fmt: skip


def holder_of(file: InputFile, kind: str, most_bytes: int, files: Files) -> Holder:
    """What fits the input. `files` opens it."""
    if is_listing(file):
        return Folder(file, kind, most_bytes, files)
    if not archives.is_archive(file.path):
        return Alone(file, kind, most_bytes, files)
    return (Zip if archives.is_zip(file.path) else Tar)(file, kind, most_bytes, files)


def shown(name: str) -> str:
    """The name of a file as text that every format can hold."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class Folder(Holder):
    """A folder that was listed: its files must be as they were."""

    _listing: Listing | None = None

    def shards(self, number: int, most: Count, *, first: bool) -> list[Shard]:
        return _ranges(len(self._listed()), number, most, first=first)

    def read(self, shard: Shard) -> Iterator[Entry]:
        listing = self._listed()
        return (self._entry(listing, at) for at in range(shard.start, shard.stop))

    def _listed(self) -> Listing:
        if self._listing is None:
            made = Listing.of(self.file.path, self.wanted)
            if made.as_input() != self.file:
                raise _changed(self.file.path, f"it has {len(made):,} files, or others than it had")
            self._listing = made
        return self._listing

    def _entry(self, listing: Listing, at: int) -> Entry:
        name = listing.name(at)
        path = os.path.join(listing.folder, name)
        where = shown(path)
        try:
            with open(path, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                if not listing.is_as_listed(at, status):
                    raise _changed(where, "it was written again")
                if status.st_size > self.most_bytes:
                    return self.too_large(name, where, status.st_size)
                return Entry(shown(name), where, file.readall())
        except FileNotFoundError:
            raise _changed(where, "it is gone") from None
        except OSError as error:
            return self.bad(name, where, f"the file cannot be read: {error.strerror or error}")


class Alone(Holder):
    """A file that was named by itself: one row."""

    def shards(self, number: int, most: Count, *, first: bool) -> list[Shard]:
        return _ranges(1, number, most, first=False)

    def read(self, shard: Shard) -> Iterator[Entry]:
        path = self.file.path
        if self.file.size > self.most_bytes:
            yield self.too_large(path, shown(path), self.file.size)
            return
        try:
            with self.files.open(self.file) as file:
                yield Entry(shown(path), shown(path), file.read())
        except OSError as error:
            yield self.bad(path, shown(path), f"the file cannot be read: {error.strerror or error}")


class Zip(Holder):
    """Entries in the order of the archive's directory."""

    _archive: zipfile.ZipFile | None = None
    _entries: tuple[zipfile.ZipInfo, ...] = ()

    def shards(self, number: int, most: Count, *, first: bool) -> list[Shard]:
        self._opened()
        return _ranges(len(self._entries), number, most, first=first)

    def read(self, shard: Shard) -> Iterator[Entry]:
        archive = self._opened()
        return (self._entry(archive, entry) for entry in self._entries[shard.start : shard.stop])

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None
        super().close()

    def _opened(self) -> zipfile.ZipFile:
        if self._archive is None:
            with archives.readable(self.file.path):
                self._archive = archives.opened_zip(self.opened())
            listed = self._archive.infolist()
            self._entries = tuple(each for each in listed if not each.is_dir() and self.wanted(each.filename))
        return self._archive

    def _entry(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Entry:
        name, where = entry.filename, f"{self.file.path}, entry {shown(entry.orig_filename)}"
        if refused := archives.wrong_entry(entry):
            return self.bad(name, where, f"the entry is refused: {refused}")
        if entry.file_size > self.most_bytes:
            return self.too_large(name, where, entry.file_size)
        try:
            with archive.open(entry) as file:
                # One byte more than it says: what it really has is looked at no further, and its checksum then differs.
                content = file.read(entry.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            return self.bad(name, where, f"the entry cannot be read: {error}")
        if len(content) != entry.file_size:
            return self.bad(name, where, "the entry is not as long as it says", expected=f"{entry.file_size:,} bytes",
                            got=f"{len(content):,}")  # fmt: skip
        return Entry(shown(name), where, content)


class Tar(Holder):
    """Shards are ranges of bytes of the archive, decompressed: whoever reads one needs no list of the others."""

    _content: BinaryIO | None = None

    def shards(self, number: int, most: Count, *, first: bool) -> list[Shard]:
        starts, content = array("q"), self._opened()
        with archives.readable(self.file.path):
            content.seek(0)
            for member in archives.members(content):
                if self._is_row(member.name, is_folder=member.isdir()):
                    starts.append(member.offset)
        ranges = cut(len(starts), most(len(starts)), first=first) if starts else ()
        starts.append(content.tell())
        return [Shard(0, number, starts[left], starts[right], left, right - left) for left, right in ranges]

    def read(self, shard: Shard) -> Iterator[Entry]:
        content, left = self._opened(), shard.rows or 0
        with archives.readable(self.file.path):
            content.seek(shard.start)
            for member in archives.members(content) if left else ():
                if self._is_row(member.name, is_folder=member.isdir()):
                    left -= 1
                    yield self._entry(content, member)
                if not left:  # no byte further than that: going back is dear where the archive is compressed
                    return
        if left:
            raise _changed(self.file.path, f"{left:,} files are missing")

    def close(self) -> None:
        if self._content is not None:
            self._content.close()
            self._content = None
        super().close()

    def _opened(self) -> BinaryIO:
        if self._content is None:
            with archives.readable(self.file.path):
                self._content = archives.decompressed(self.file.path, self.opened())
        return self._content

    def _is_row(self, name: str, *, is_folder: bool) -> bool:
        return not is_folder and self.wanted(name)

    def _entry(self, content: BinaryIO, member: tarfile.TarInfo) -> Entry:
        where = f"{self.file.path}, entry {shown(member.name)}"
        if refused := archives.wrong_member(member):
            return self.bad(member.name, where, f"the entry is refused: {refused}")
        if member.size > self.most_bytes:
            return self.too_large(member.name, where, member.size)
        content.seek(member.offset_data)
        read = content.read(member.size)
        if len(read) != member.size:
            return self.bad(member.name, where, "the archive ends in the middle of the entry")
        return Entry(shown(member.name), where, read)


def _ranges(files: int, number: int, most: Count, *, first: bool) -> list[Shard]:
    ranges = cut(files, most(files), first=first) if files else ()
    return [Shard(0, number, left, right, left, right - left) for left, right in ranges]


def _changed(where: str, how: str) -> InvalidInput:
    fix = "run with --fresh once it is at rest, to score what it holds then"
    return InvalidInput(f"the input changed while it was read: {how}", where=where, fix=fix)
