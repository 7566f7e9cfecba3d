"""Where the state of a job lies: small immutable records and parts, on this machine's disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foretell.errors import InferenceError, Unavailable


class Occupied(Unavailable):
    """Another job writes to the same output now."""


class NoRoom(Unavailable):
    """The output cannot be written: the disk is full, or may not be written to."""


class LocalStore:
    """Files below one folder. Names are relative, with "/" between; every write is whole or not there at all.

    What `put_new` and `add_file` have returned for is on the disk, also after a power cut.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str) -> bytes | None:
        """The content, or None where there is no such name."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, in order; none where there is no such folder."""
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return []

    def put_new(self, name: str, content: bytes) -> bool:
        """Writes `content`, unless there is such a name already: then False. Raises `NoRoom`."""
        with _told(self.root / name):
            temporary = self.scratch(name.replace("/", "-"))
            try:
                _write(temporary, content)
                return self._link(temporary, self.root / name)
            finally:
                temporary.unlink(missing_ok=True)

    def put(self, name: str, content: bytes) -> None:
        """Writes `content`, in the place of what was there. Raises `NoRoom`."""
        with _told(self.root / name):
            temporary = self.scratch(name.replace("/", "-"))
            _write(temporary, content)
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, self.root / name)
            _sync((self.root / name).parent)

    def add_file(self, file: Path, name: str) -> None:
        """Moves a file that is whole to `name`, which tells its content: one that is there is the same."""
        with _told(self.root / name):
            _sync(file)
            self._link(file, self.root / name)
            file.unlink()

    def replace(self, file: Path, target: Path) -> None:
        """Moves a file that is whole to `target`, which may lie elsewhere on the same disk, in one step."""
        with _told(target):
            _sync(file)
            os.replace(file, target)
            _sync(target.parent)

    def scratch(self, name: str) -> Path:
        """A path for a file that is being written, by this process alone."""
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{os.getpid()}-{name}"

    def clear(self, folder: str, keep: frozenset[str] = frozenset()) -> None:
        """Removes what lies in a folder, but for the names in `keep`."""
        for name in self.names(folder):
            if name not in keep:
                self.remove(f"{folder}/{name}")

    def remove(self, name: str) -> None:
        """Removes a file, or a folder with all in it. Harmless where it is not there."""
        path = self.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, what: str) -> Iterator[None]:
        """Held by one process at a time; the system lets it go when that process ends, however it ends.

        Raises `Occupied` where another has it.
        """
        path = self.root / "lock"
        with _told(path):
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                owner = os.read(descriptor, 100).decode("utf-8", "replace").strip()
                raise Occupied("another job writes here", where=what, got=f"process {owner}" if owner else "",
                               fix="wait for its end, or name another output") from None  # fmt: skip
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _link(self, file: Path, target: Path) -> bool:
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
            os.replace(target.with_name(f".{target.name}"), target)
        _sync(target.parent)
        return True


@contextmanager
def _told(path: Path) -> Iterator[None]:
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
