"""A lock in object storage: an object that its holder writes again and again, so that all can see that it lives."""

from __future__ import annotations

import contextlib
import threading
import uuid
from dataclasses import dataclass

import msgspec

from foretell.batch.bucket import Bucket, Version
from foretell.batch.owner import Owner
from foretell.clock import Clock, SystemClock
from foretell.errors import Unavailable
from foretell.file_lock import Occupied


@dataclass(frozen=True, slots=True)
class Lease:
    """`renew_s`: between two signs of life. `lost_s`: after that long without one, the holder is taken to be gone."""

    renew_s: float = 5.0
    lost_s: float = 30.0


class _Sign(msgspec.Struct):
    """What stands in the object. `holder`: "" once it was let go. `turn`: counts signs of life."""

    holder: str
    turn: int
    owner: Owner


class ObjectLock:
    """Taken by `take`, kept by a thread, let go by `release`.

    No two clocks are compared: who wants a lock that another machine has watches it for `lost_s`. A holder of this
    machine that has ended is known at once. Whoever loses the lock is told by `check`, since every sign of life
    replaces the one before it and nothing else.
    """

    def __init__(
        self, bucket: Bucket, key: str, what: str, lease: Lease | None = None, clock: Clock | None = None
    ) -> None:
        self._bucket, self._key, self._what = bucket, key, what
        self._lease, self._clock = lease or Lease(), clock or SystemClock()
        self._holder, self._turn = uuid.uuid4().hex, 0
        self._version: Version | None = None
        self._guard, self._ends = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="foretell-lock", daemon=True)

    def take(self) -> None:
        """Raises `Occupied` where another job has it."""
        content = self._sign()
        self._version = self._bucket.create(self._key, content)
        if self._version is None:
            found = self._bucket.read(self._key)
            if found is not None:
                self._wait_until_free(*found)
                self._version = self._bucket.replace(self._key, content, found[1])
        if self._version is None:
            raise self._occupied("")
        self._thread.start()

    def check(self) -> None:
        """Gives a sign of life. Raises `Occupied` where another job has taken the lock."""
        if not self.renew():
            what = f"another job has gone on here, since nothing was heard of this one for {self._lease.lost_s:g} s"
            raise Occupied(what, where=self._what, fix="leave it to that one")

    def renew(self) -> bool:
        """A sign of life; False once another has the lock. Raises `Unavailable` while the storage does not answer."""
        with self._guard:
            if self._version is None:
                return False
            self._turn += 1
            content = self._sign()
            known = self._bucket.replace(self._key, content, self._version)
            if known is None:  # the answer to an earlier sign may have been lost: then it is still ours
                found = self._bucket.read(self._key)
                if found is not None and _decoded(found[0]).holder == self._holder:
                    known = self._bucket.replace(self._key, content, found[1])
            self._version = known
            return known is not None

    def release(self) -> None:
        """Lets it go. Where the storage does not answer, others see no sign of life."""
        self._ends.set()
        self._thread.join()
        with self._guard:
            version, self._version = self._version, None
            if version is not None:
                self._turn += 1
                with contextlib.suppress(Unavailable):
                    self._bucket.replace(self._key, self._sign(free=True), version)

    def _keep(self) -> None:
        while not self._ends.wait(self._lease.renew_s):
            with contextlib.suppress(Unavailable):
                self.renew()

    def _sign(self, *, free: bool = False) -> bytes:
        return msgspec.json.encode(_Sign("" if free else self._holder, self._turn, Owner.this()))

    def _wait_until_free(self, content: bytes, version: Version) -> None:
        """Returns once nobody has the lock. Raises `Occupied` at the first sign of life."""
        sign = _decoded(content)
        if not sign.holder or (sign.owner.is_here and not sign.owner.runs):
            return
        if sign.owner.is_here:
            raise self._occupied(f"process {sign.owner.process}")
        until = self._clock.monotonic() + self._lease.lost_s
        while self._clock.monotonic() < until:
            self._clock.sleep(self._lease.renew_s)
            found = self._bucket.read(self._key)
            if found is None or found[1] != version:
                raise self._occupied("a process of another machine")

    def _occupied(self, got: str) -> Occupied:
        fix = "wait for its end, or name another output"
        return Occupied("another job writes here", where=self._what, got=got, fix=fix)


def _decoded(content: bytes) -> _Sign:
    """Of what nobody can read, the holder is unknown."""
    try:
        return msgspec.json.decode(content, type=_Sign)
    except msgspec.MsgspecError:
        return _Sign("unknown", 0, Owner("", 0, ""))
