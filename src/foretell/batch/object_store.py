"""The state of a job in object storage: objects below one prefix, and files in the making on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from foretell.batch.address import parse
from foretell.batch.bucket import Bucket, Changed, Patience
from foretell.batch.object_lock import Lease, ObjectLock
from foretell.batch.scratch import Scratch
from foretell.batch.store import Held, Store, told
from foretell.clock import Clock
from foretell.errors import Unavailable

_AT_ONCE = 32
_FETCHED_BYTES = 8 * 2**20


class ObjectStore(Store):
    """A record is a conditional put; a part is one put, or an upload in pieces that is there once its last piece is.

    Files in the making lie in a folder of this machine that nobody else may read.
    """

    def __init__(
        self, address: str, patience: Patience | None = None, lease: Lease | None = None, clock: Clock | None = None
    ) -> None:
        self._place = parse(address)
        self.address = str(self._place)
        self.bucket = Bucket(self._place, patience, clock)
        self._lease, self._clock = lease, clock
        self._scratch = Scratch()

    def key(self, name: str) -> str:
        """Of a name, in the bucket."""
        return self._place.below(name).key

    def read(self, name: str) -> bytes | None:
        found = self.bucket.read(self.key(name))
        return None if found is None else found[0]

    def read_all(self, names: Sequence[str]) -> Iterator[bytes | None]:
        with ThreadPoolExecutor(_AT_ONCE, "foretell-read") as threads:
            for at in range(0, len(names), _AT_ONCE):  # no more in memory than are on their way
                yield from threads.map(self.read, names[at : at + _AT_ONCE])

    def names(self, folder: str) -> list[str]:
        return self.bucket.names(self.key(folder))

    def put_new(self, name: str, content: bytes) -> bool:
        return self.bucket.create(self.key(name), content) is not None

    def put(self, name: str, content: bytes) -> None:
        self.bucket.write(self.key(name), content)

    def add_file(self, file: Path, name: str) -> None:
        self.bucket.upload(self.key(name), file)
        file.unlink()

    def files(self, names: Sequence[str]) -> Iterator[Path]:
        for number, name in enumerate(names):
            path = self.scratch(f"fetched-{number % 2}")
            self._fetch(name, path)
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    def scratch(self, name: str) -> Path:
        return self._scratch.path(name)

    def clear_scratch(self) -> None:
        self._scratch.clear()

    def close(self) -> None:
        self._scratch.close()

    def clear(self, folder: str, keep: frozenset[str] = frozenset()) -> None:
        prefix = self.key(folder)
        entries = self.bucket.entries(prefix)
        below = len(prefix) + 1 if prefix else 0
        self.bucket.delete([each.key for each in entries if each.key[below:].partition("/")[0] not in keep])

    def remove(self, name: str) -> None:
        key = self.key(name)
        self.bucket.delete([key, *(each.key for each in self.bucket.entries(key))])

    @contextmanager
    def lock(self, what: str) -> Iterator[Held]:
        lock = ObjectLock(self.bucket, self.key("lock"), what, self._lease, self._clock)
        lock.take()
        try:
            yield lock
        finally:
            lock.release()

    def _fetch(self, name: str, path: Path) -> None:
        found = self.bucket.look(self.key(name))
        if found is None:
            raise Unavailable("an object is gone that this job has written", where=self.where(name),
                              fix="run with --fresh to start again")  # fmt: skip
        with told(path), path.open("wb") as file:
            for at in range(0, found.size, _FETCHED_BYTES):
                file.write(self._piece(name, at, min(found.size, at + _FETCHED_BYTES)))

    def _piece(self, name: str, start: int, stop: int) -> bytes:
        try:
            return bytes(self.bucket.read_range(self.key(name), start, stop, None))
        except Changed:
            raise Unavailable("an object is gone that this job has written", where=self.where(name),
                              fix="run with --fresh to start again") from None  # fmt: skip
