"""The output of a job on this machine: one rename makes it visible."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from foretell.batch.ledger import Ledger
from foretell.batch.output import STATE, Join, Output, format_of
from foretell.batch.sinks.registry import SUFFIXES
from foretell.batch.store import Held, LocalStore
from foretell.errors import InvalidSetting

MANIFEST = "_foretell.json"


class LocalOutput(Output):
    """A folder that gets `data/`, or one file."""

    store: LocalStore

    def __init__(self, path: str | Path, fmt: str | None = None) -> None:
        """Raises `InvalidSetting` for a format that does not fit the name."""
        self.path = Path(path).absolute()
        suffix = self.path.suffix.lower()
        self.is_file = suffix in SUFFIXES and not self.path.is_dir()
        if not self.is_file and suffix in SUFFIXES:
            what = "this is a folder, and its name is that of a file"
            raise InvalidSetting(what, where=str(path), fix="name another output, or move the folder away")
        self.format = format_of(suffix, fmt, str(path))
        state = self.path.with_name(self.path.name + ".foretell") if self.is_file else self.path / STATE
        self.store = LocalStore(state)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def target(self) -> str:
        return str(self._target)

    @property
    def _target(self) -> Path:
        return self.path if self.is_file else self.path / "data"

    def publish(
        self, ledger: Ledger, parts: Sequence[str], manifest: Mapping[str, object], join: Join, held: Held
    ) -> None:
        """A run that ended between this and the next step has done it already: then the parts are there, not here."""
        held.check()
        if self.is_file:
            joined = self.store.scratch(f"joined{self.path.suffix}")
            join(joined)
            self.store.replace(joined, self._target)
            return
        if self._manifest() == msgspec.json.decode(msgspec.json.encode(manifest)):
            return
        self.store.clear(ledger.data, frozenset(parts))
        self.store.put(f"{ledger.data}/{MANIFEST}", msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        _take_place(self.store.root / ledger.data, self._target)

    def published(self, name: str) -> bool:
        return self._target.exists() if self.is_file else self._manifest().get("job") == name

    def reopen(self, ledger: Ledger, parts: Sequence[str]) -> None:
        if not self.is_file:
            for part in parts:
                self.store.share(self._target / part, f"{ledger.data}/{part}")

    def _is_taken(self) -> bool:
        return self._target.exists() if self.is_file else self.path.is_file() or _has_entries(self.path)

    def _manifest(self) -> dict[str, object]:
        """Of the output that stands there; empty where there is none."""
        try:
            return msgspec.json.decode((self._target / MANIFEST).read_bytes(), type=dict[str, object])
        except (OSError, msgspec.DecodeError):
            return {}


def _has_entries(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _take_place(new: Path, target: Path) -> None:
    """Renames a folder; where there is one already, both change places, so that there is one at any moment."""
    if not target.exists():
        os.rename(new, target)
    else:
        _exchange(new, target)
        shutil.rmtree(new, ignore_errors=True)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def _exchange(one: Path, other: Path) -> None:
    """renameat2(2) with RENAME_EXCHANGE; where the system has it not, two renames with a moment between."""
    with contextlib.suppress(OSError, AttributeError):
        call = ctypes.CDLL(None, use_errno=True).renameat2
        if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
            return
    aside = one.with_name(f"{one.name}.old")
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)
