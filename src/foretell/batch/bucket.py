"""One bucket of an object storage: few calls, each of which is whole or not done, and is tried again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from foretell.batch.address import SCHEMES, Address
from foretell.batch.storage_errors import is_passing, told
from foretell.clock import Clock, SystemClock
from foretell.engine.retry import RetryPolicy
from foretell.errors import InferenceError, InvalidSetting, Unavailable
from foretell.extras import needs

ResultT = TypeVar("ResultT")
Version = dict[str, str]
"""What a conditional write refers to."""

_PIECE_BYTES = 8 * 2**20
_MOST_PIECES = 9000
_AT_ONCE = 4
_DELETED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long failures are borne. The client itself tries a request again `retries` times; where it gives up, or
    cannot know whether that is safe, the whole call is made again up to `rounds` times."""

    retries: int = 8
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0
    limit_s: float = 60.0
    rounds: int = 6
    longest_round_wait_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as it is now. `stamp` changes when it is written again."""

    key: str
    size: int
    stamp: str


class Changed(Exception):
    """The object is not the one that was asked for any more."""


class Bucket:
    """Safe from several threads. Keys are whole.

    Every call may be made twice with the same end, so that an answer that was lost on the way does no harm: a write
    that finds its own content there has been done. Raises `Unreachable`, `Refused`, or another `Unavailable`; none of
    them tells a secret.
    """

    def __init__(self, address: Address, patience: Patience | None = None, clock: Clock | None = None) -> None:
        """Raises `MissingExtra` without its library, and `InvalidSetting` where its settings are not complete."""
        self.address = Address(address.scheme, address.bucket)
        self._patience, self._clock = patience or Patience(), clock or SystemClock()
        self._random, self._lock = random.Random(), threading.Lock()
        self._library, self._store = _opened(self.address, self._patience)

    def read(self, key: str) -> tuple[bytes, Version] | None:
        """Content and version, or None where there is no such object."""

        def read() -> tuple[bytes, Version] | None:
            try:
                found = self._library.get(self._store, key)
                return bytes(found.bytes()), _version(found.meta)
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None

        return self._called(read, key)

    def read_range(self, key: str, start: int, stop: int, etag: str | None) -> Any:
        """The bytes from `start` to `stop`, as a buffer. Raises `Changed` unless the object still has this `etag`."""
        options = {"range": (start, stop), **({"if_match": etag} if etag else {})}

        def read() -> Any:
            try:
                return self._library.get(self._store, key, options=options).bytes()
            except self._library.exceptions.PreconditionError:
                raise Changed("it was written again") from None
            except FileNotFoundError as error:
                self._check_bucket(error)
                raise Changed("it is gone") from None

        return self._called(read, key)

    def look(self, key: str) -> Entry | None:
        """What is there under `key`, or None."""

        def look() -> Entry | None:
            try:
                return _entry(self._library.head(self._store, key))
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None

        return self._called(look, key)

    def entries(self, prefix: str) -> list[Entry]:
        """All objects below `prefix`, in order of their keys."""
        found = self._called(lambda: self._library.list(self._store, prefix or None).collect(), prefix)
        return sorted((_entry(each) for each in found), key=lambda entry: entry.key)

    def names(self, prefix: str) -> list[str]:
        """What stands directly below `prefix`, in order: objects, and what further objects are below."""
        found = self._called(lambda: self._library.list_with_delimiter(self._store, prefix or None), prefix)
        keys = [*found["common_prefixes"], *(each["path"] for each in found["objects"])]
        return sorted({key.rpartition("/")[2] for key in keys})

    def write(self, key: str, content: bytes) -> Version:
        """Writes an object, in the place of what was there."""
        return self._called(lambda: self._put(key, content, "overwrite"), key)

    def create(self, key: str, content: bytes) -> Version | None:
        """Writes an object, unless there is one already: then None."""
        return self._written(key, content, "create")

    def replace(self, key: str, content: bytes, version: Version) -> Version | None:
        """Writes an object in the place of that `version` of it; None where it is another one by now."""
        return self._written(key, content, version)

    def upload(self, key: str, file: Path) -> None:
        """Writes what a file holds. A large one goes in pieces, and is there once the last of them is."""
        piece = max(_PIECE_BYTES, file.stat().st_size // _MOST_PIECES)

        def upload() -> None:
            try:
                self._library.put(self._store, key, file, chunk_size=piece, max_concurrency=_AT_ONCE)
            except FileNotFoundError as error:
                # The answer to the last call of an upload was lost: it is done, and its number is known no more.
                self._check_bucket(error)
                raise ConnectionError("the end of the upload is not known") from None

        self._called(upload, key)

    def delete(self, keys: Sequence[str]) -> None:
        """Harmless for objects that are not there."""

        def delete(some: Sequence[str]) -> None:
            try:
                self._library.delete(self._store, some)
            except FileNotFoundError as error:  # some stores stop at what is gone already
                self._check_bucket(error)
                for key in some if len(some) > 1 else ():
                    delete([key])

        for at in range(0, len(keys), _DELETED_AT_ONCE):
            some = list(keys[at : at + _DELETED_AT_ONCE])
            self._called(lambda some=some: delete(some), some[0])  # type: ignore[misc]

    def _put(self, key: str, content: bytes, mode: str | Version) -> Version:
        # A browser shows a page only where the store says that it is one.
        kind = {"Content-Type": "text/html; charset=utf-8"} if key.endswith(".html") else None
        put = self._library.put
        return _version(put(self._store, key, content, mode=mode, use_multipart=False, attributes=kind))

    def _written(self, key: str, content: bytes, mode: str | Version) -> Version | None:
        kinds = self._library.exceptions

        def write() -> Version | None:
            try:
                return self._put(key, content, mode)
            except (kinds.AlreadyExistsError, kinds.PreconditionError, FileNotFoundError) as error:
                if isinstance(error, FileNotFoundError):
                    self._check_bucket(error)
            found = self.read(key)
            return found[1] if found is not None and found[0] == content else None

        return self._called(write, key)

    def _check_bucket(self, error: FileNotFoundError) -> None:
        """Returns where only the object is missing. Raises where the bucket is."""
        if "NoSuchBucket" in str(error):
            raise told(error, str(self.address)) from None

    def _called(self, do: Callable[[], ResultT], key: str) -> ResultT:
        patience = self._patience
        policy = RetryPolicy(patience.rounds, 2 * patience.first_wait_s, patience.longest_round_wait_s)
        where = str(self.address.below(key))
        attempt = 0
        while True:
            try:
                return do()
            except (InferenceError, Changed):
                raise
            except ValueError as error:
                raise Unavailable("the name of the object cannot be handled", where=where) from error
            except (self._library.exceptions.BaseError, OSError) as error:
                if attempt == policy.retries or not is_passing(error):
                    raise told(error, where) from None
                with self._lock:
                    wait_s = policy.wait_s(attempt, self._random)
                self._clock.sleep(wait_s)
                attempt += 1


class Buckets:
    """Buckets by their address, each with one client that keeps its connections."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience
        self._known: dict[Address, Bucket] = {}

    def of(self, address: Address) -> Bucket:
        bucket = Address(address.scheme, address.bucket)
        if bucket not in self._known:
            self._known[bucket] = Bucket(bucket, self._patience)
        return self._known[bucket]


def _opened(address: Address, patience: Patience) -> tuple[Any, Any]:
    with needs("obstore", "objects", f"{address.scheme}://"):
        import obstore
        import obstore.exceptions
        from obstore import store
    kinds: dict[str, Any] = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
    retry = {
        "max_retries": patience.retries,
        "retry_timeout": timedelta(seconds=patience.limit_s),
        "backoff": {"init_backoff": timedelta(seconds=patience.first_wait_s),
                    "max_backoff": timedelta(seconds=patience.longest_wait_s)},
    }  # fmt: skip
    try:
        return obstore, kinds[SCHEMES[address.scheme]](address.bucket, retry_config=retry)
    except (obstore.exceptions.BaseError, ValueError):
        what = "the settings of this object storage are not complete"
        fix = "set them in the environment, such as AZURE_STORAGE_ACCOUNT_NAME or AWS_REGION"
        raise InvalidSetting(what, where=str(address), fix=fix) from None


def _entry(meta: Any) -> Entry:
    stamp = meta["e_tag"] or meta["last_modified"].isoformat()
    return Entry(meta["path"], meta["size"], stamp)


def _version(meta: Any) -> Version:
    return {name: meta[name] for name in ("e_tag", "version") if meta[name] is not None}
