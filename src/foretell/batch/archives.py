"""Archives of files, looked into by name: nothing of them is ever written to the disk."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from foretell.errors import InvalidInput

if TYPE_CHECKING:
    import tarfile
    import zipfile

TAR, TAR_GZ, ZIP = (".tar",), (".tar.gz", ".tgz"), (".zip",)
SUFFIXES = (*TAR, *TAR_GZ, *ZIP)


def is_archive(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def is_zip(path: str) -> bool:
    return path.lower().endswith(ZIP)


def names_in(path: str, file: BinaryIO) -> Iterator[str]:
    """The names of the files in an archive, in order, read only as far as they are asked for. Raises `InvalidInput`."""
    with readable(path):
        if is_zip(path):
            with opened_zip(file) as archive:
                yield from archive.namelist()
        else:
            for member in members(decompressed(path, file)):
                yield member.name


@contextmanager
def readable(path: str) -> Iterator[None]:
    """What the libraries say of an archive that is none, as an error of ours that names it."""
    import tarfile
    import zipfile

    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        what = f"the archive cannot be read: {str(error).strip() or type(error).__name__}"
        raise InvalidInput(what, where=path, fix="pack it again, or leave it out") from None


def decompressed(path: str, file: BinaryIO) -> BinaryIO:
    """The content of a tar archive. Only going forward is cheap where it is compressed."""
    if not path.lower().endswith(TAR_GZ):
        return file
    import gzip

    return cast("BinaryIO", gzip.GzipFile(fileobj=file))


def opened_zip(file: BinaryIO) -> zipfile.ZipFile:
    import zipfile

    return zipfile.ZipFile(file)


def members(content: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """The members of a tar archive from where `content` stands, which must be the beginning of one."""
    import tarfile

    class Checked(tarfile.TarInfo):
        """tarfile takes a header that is broken for the end of the archive, and says nothing."""

        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
            try:
                return super().fromtarfile(archive)
            except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
                raise tarfile.ReadError(str(error)) from None

    archive = tarfile.TarFile(fileobj=content, mode="r", tarinfo=Checked)
    while (member := archive.next()) is not None:
        yield member
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep all of them


def wrong_name(name: str) -> str:
    """Why an entry of this name is refused, for people; "" where it is not."""
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        return "its name is an absolute path"
    return 'its name has ".." in it' if ".." in name.replace("\\", "/").split("/") else ""


def wrong_member(member: tarfile.TarInfo) -> str:
    """Why a member of a tar archive is refused, for people; "" where it is not."""
    if member.issym() or member.islnk():
        return "it is a link"
    if not member.isreg():
        return "it is no file"
    return "it is a sparse file" if member.issparse() else wrong_name(member.name)


def wrong_entry(entry: zipfile.ZipInfo) -> str:
    """Why an entry of a zip archive is refused, for people; "" where it is not."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if stat.S_ISLNK(kind):
        return "it is a link"
    if kind and not stat.S_ISREG(kind):
        return "it is no file"
    return "it is encrypted" if entry.flag_bits & 1 else wrong_name(entry.orig_filename)
