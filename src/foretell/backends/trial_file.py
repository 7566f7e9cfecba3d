"""What was measured on this machine, kept so that every process that runs the same model decides alike."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import msgspec

from foretell.types import Trial

_MOST_BYTES = 65_536
_CPUINFO = Path("/proc/cpuinfo")
_TELLING = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU part", "CPU implementer")


def decided(folder: str | None, about: str, measure: Callable[[], Trial]) -> Trial:
    """The trial that a process on this machine has made before, else that of `measure`, kept for the next ones.

    `folder`: of all that is kept; None: in the cache of the home folder. `about`: what was tried on what, versions
    included. Of several processes one measures, and the others wait for it. Where nothing can be kept, nothing is
    measured: each process would decide for itself.
    """
    place = (Path.home() / ".cache" / "foretell" if folder is None else Path(folder)) / "trials"
    key = hashlib.sha256(json.dumps([about, machine()]).encode()).hexdigest()
    path = place / f"{key[:32]}.json"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _held(path.with_suffix(".lock")):
            known = _read(path)
            if known is None:
                known = measure()
                _write(path, known, about)
            return known
    except OSError as error:
        reason = f"the measurement cannot be kept for other processes: {error.strerror or error}"
        return Trial(about.partition(" ")[0], False, reason)


def machine() -> str:
    """What kind of processor this is; the same on all machines of a kind."""
    told: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in _CPUINFO.read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in _TELLING:
                told.setdefault(name.strip(), value.strip())
    return json.dumps([os.uname().sysname, os.uname().machine, told], sort_keys=True)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """A lock that ends with the process."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> Trial | None:
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, LookupError), path.open("rb") as file:
        return msgspec.convert(json.loads(file.read(_MOST_BYTES))["trial"], Trial)
    return None


def _write(path: Path, trial: Trial, about: str) -> None:
    """Whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".trial-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"about": about, "trial": asdict(trial)}, file)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
