"""A profile kept over restarts, so that a server knows its model's speed from its first request."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
import threading
import weakref
from pathlib import Path

from foretell.clock import Clock
from foretell.engine.profile import Profile
from foretell.types import Identity

_MOST_BYTES = 65_536
_LOOK_S = 10.0
_KEEP_S = 60.0


class ProfileFile:
    """One small JSON file for each identity and way of running in `folder`. Nothing here ever fails a model.

    `way`: what else decides the speed, such as threads and device. A live object has no lasting identity and no file.
    """

    def __init__(self, folder: Path, way: str) -> None:
        self._folder, self._way = folder, way
        self._ended = threading.Event()
        self._followed: tuple[Profile, Identity, Clock] | None = None
        self._kept: dict[int, float] = {}
        self._kept_at = -math.inf

    def follow(self, profile: Profile, identity: Identity, clock: Clock) -> None:
        """Takes up what an earlier process learned, if it left anything, and keeps until `close` what is learned.

        A thread looks for it, so that a process that is killed has left what it knew a minute before.
        """
        if not identity.lasting:
            return
        self._followed = profile, identity, clock
        with contextlib.suppress(OSError, ValueError):
            with self._path(identity).open("rb") as file:
                known = json.loads(file.read(_MOST_BYTES))
            if isinstance(known, dict) and isinstance(known.get("call_s"), dict):
                profile.restore(known["call_s"])
                self._kept = profile.table()
        work = (self._ended, weakref.ref(self))
        threading.Thread(target=_look_again, args=work, name="foretell-profile", daemon=True).start()

    def look(self) -> None:
        """Writes what was learned since it was last written, at most once a minute."""
        if self._followed is not None:
            now = self._followed[2].monotonic()
            if now - self._kept_at >= _KEEP_S and self._keep():
                self._kept_at = now

    def close(self) -> None:
        """Writes the rest. Harmless when repeated."""
        self._ended.set()
        self._keep()

    def _keep(self) -> bool:
        """Writes it whole or not at all, where there is something new."""
        if self._followed is None:
            return False
        profile, identity, _ = self._followed
        table = profile.table()
        if not table or table == self._kept:
            return False
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = json.dumps({"model": identity.name, "way": self._way, "call_s": table})
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=".profile-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                os.replace(name, self._path(identity))
            except OSError:
                os.unlink(name)
                raise
            self._kept = table
        return True

    def _path(self, identity: Identity) -> Path:
        key = f"{identity.artefact_digest}\x1f{identity.variant_digest}\x1f{self._way}"
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _look_again(ended: threading.Event, known: weakref.ref[ProfileFile]) -> None:
    """Until it has ended, or nobody has it any more."""
    while not ended.wait(_LOOK_S):
        file = known()
        if file is None:
            return
        file.look()
        del file
