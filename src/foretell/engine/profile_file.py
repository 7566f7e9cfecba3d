"""A profile kept over restarts, so that a server knows its model's speed from its first request."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from foretell.engine.profile import Profile
from foretell.types import Identity

_MOST_BYTES = 65_536


class ProfileFile:
    """One small JSON file for each identity and way of running in `folder`. Nothing here ever fails a model.

    `way`: what else decides the speed, such as threads and device. A live object has no lasting identity and no file.
    """

    def __init__(self, folder: Path, way: str) -> None:
        self._folder, self._way = folder, way

    def restore(self, profile: Profile, identity: Identity) -> None:
        """Takes up what an earlier process learned, if it left anything."""
        with contextlib.suppress(OSError, ValueError):
            with self._path(identity).open("rb") as file:
                known = json.loads(file.read(_MOST_BYTES))
            if isinstance(known, dict) and isinstance(known.get("call_s"), dict):
                profile.restore(known["call_s"])

    def keep(self, profile: Profile, identity: Identity) -> None:
        """Writes it whole or not at all."""
        table = profile.table()
        if not table or not identity.lasting:
            return
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

    def _path(self, identity: Identity) -> Path:
        key = f"{identity.artefact_digest}\x1f{identity.variant_digest}\x1f{self._way}"
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
