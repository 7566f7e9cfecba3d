"""Where the state of a job lies: small immutable records and parts. The contract, and this machine's disk."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from foretell.batch.address import is_address
from foretell.errors import InferenceError
from foretell.file_lock import NoRoom, held, open_lock


class Held(Protocol):
    """A lock that this process has."""

    def check(self) -> None:
        """Raises `Occupied` where another job has it by now."""


class Store(ABC):
    """Names with content, below one place. Names are relative, with "/" between.

    Every write is whole or not there at all, whatever ends in the middle of it. What a write has returned for is there
    for whoever looks, also after a crash. Raises `NoRoom`, or another `Unavailable`, where that cannot be.
    """

    address: str
    """What `open_store` opens it by, in another process too."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The content, or None where there is no such name."""

    def read_all(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """The content of each, in order."""
        return (self.read(name) for name in names)

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """What lies in a folder, in order; none where there is no such folder. "" is the place itself."""

    @abstractmethod
    def put_new(self, name: str, content: bytes) -> bool:
        """Writes `content`, unless there is another content already: then False."""

    @abstractmethod
    def put(self, name: str, content: bytes) -> None:
        """Writes `content`, in the place of what was there."""

    @abstractmethod
    def add_file(self, file: Path, name: str) -> None:
        """Moves a file that is whole to `name`, which tells its content: one that is there is the same."""

    @abstractmethod
    def files(self, names: Sequence[str]) -> Iterator[Path]:
        """Each name as a file on this machine, in order. One is sure to be there until the next is asked for."""

    @abstractmethod
    def scratch(self, name: str) -> Path:
        """A path on this machine for a file that is being written, by this process and one of its threads alone."""

    @abstractmethod
    def clear_scratch(self) -> None:
        """Removes what this process, and any that has ended, has left in the making. For the one that has the lock."""

    @abstractmethod
    def clear(self, folder: str, keep: frozenset[str] = frozenset()) -> None:
        """Removes what lies in a folder, but for the names in `keep`."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes a name, or a folder with all in it. Harmless where it is not there."""

    @abstractmethod
    def lock(self, what: str) -> AbstractContextManager[Held]:
        """Held by one process at a time, and free again once that has ended, however it ended. `what`: for people.

        Raises `Occupied` where another has it.
        """

    def close(self) -> None:  # noqa: B027 (optional hook)
        """Gives back what only this process has used."""

    def where(self, name: str) -> str:
        """A name, for people."""
        return f"{self.address}/{name}"


def open_store(address: str) -> Store:
    """A folder, or the address of a prefix in object storage."""
    if is_address(address):
        from foretell.batch.object_store import ObjectStore

        return ObjectStore(address)
    return LocalStore(Path(address))


class LocalStore(Store):
    """Files below one folder. What a write has returned for is on the disk, also after a power cut."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = str(root)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return []

    def put_new(self, name: str, content: bytes) -> bool:
        with told(self.root / name):
            temporary = self._temporary(name)
            try:
                _write(temporary, content)
                return self._link(temporary, self.root / name) or self.read(name) == content
            finally:
                temporary.unlink(missing_ok=True)

    def put(self, name: str, content: bytes) -> None:
        with told(self.root / name):
            temporary = self._temporary(name)
            _write(temporary, content)
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, self.root / name)
            _sync((self.root / name).parent)

    def add_file(self, file: Path, name: str) -> None:
        with told(self.root / name):
            _sync(file)
            self._link(file, self.root / name)
            file.unlink()

    def files(self, names: Sequence[str]) -> Iterator[Path]:
        return (self.root / name for name in names)

    def replace(self, file: Path, target: Path) -> None:
        """Moves a file that is whole to `target`, which may lie elsewhere on the same disk, in one step."""
        with told(target):
            _sync(file)
            os.replace(file, target)
            _sync(target.parent)

    def share(self, names: Sequence[str], folder: str) -> None:
        """Gives files a further name each, in `folder`, and leaves them where they are."""
        with told(self.root / folder):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
            for name in names:
                self._link(self.root / name, self.root / folder / name.rpartition("/")[2], sync=False)
            _sync(self.root / folder)

    def scratch(self, name: str) -> Path:
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{os.getpid()}-{name}"

    def clear_scratch(self) -> None:
        self.remove("tmp")

    def clear(self, folder: str, keep: frozenset[str] = frozenset()) -> None:
        for name in self.names(folder):
            if name not in keep:
                self.remove(f"{folder}/{name}")

    def remove(self, name: str) -> None:
        path = self.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, what: str) -> Iterator[Held]:
        path = self.root / "lock"
        with told(path):
            descriptor = open_lock(path)
        with held(descriptor, "another job writes here", what, "wait for its end, or name another output"):
            yield _Kept()

    def _temporary(self, name: str) -> Path:
        return self.scratch(f"{threading.get_ident()}-{name.replace('/', '-')}")

    def _link(self, file: Path, target: Path, *, sync: bool = True) -> bool:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            if target.exists():  # no hard links here: under the lock of the job nobody else comes between
                return False
            shutil.copyfile(file, target.with_name(f".{target.name}"))
            _sync(target.with_name(f".{target.name}"))
            os.replace(target.with_name(f".{target.name}"), target)
        if sync:
            _sync(target.parent)
        return True


class _Kept:
    """The system keeps a lock for the process that has it."""

    def check(self) -> None:
        """It cannot be lost."""


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the system says of writing, as an error of ours."""
    try:
        yield
    except InferenceError:
        raise
    except OSError as error:
        fix = "make room, and run the same command again: it goes on where it stopped" if _is_full(error) else ""
        what = f"the output cannot be written: {error.strerror or error}"
        raise NoRoom(what, where=str(path.parent), fix=fix) from error


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
