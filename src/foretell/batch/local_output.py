"""The output of a job on this machine: one rename makes it visible."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from foretell.batch.apart import check_apart
from foretell.batch.inputs import is_utf8, shown
from foretell.batch.job import Commit, Data, part_name
from foretell.batch.joins.grouping import grouped
from foretell.batch.joins.registry import join
from foretell.batch.ledger import Ledger
from foretell.batch.output import STATE, Output, format_of
from foretell.batch.sinks.registry import SUFFIXES
from foretell.batch.store import Held, LocalStore, told
from foretell.errors import InvalidSetting

MANIFEST = "_foretell.json"
_OF_FILES = (
    ".json", ".tsv", ".txt", ".arrow", ".feather", ".ipc", ".npy", ".xlsx", ".gz", ".bz2", ".zst", ".zip", ".db",
    ".sqlite", ".duckdb",
)  # fmt: skip
"""Who names an output so means no folder."""


class LocalOutput(Output):
    """A folder that gets `data/`, or one file."""

    store: LocalStore

    def __init__(self, path: str | Path, fmt: str | None = None) -> None:
        """Raises `InvalidSetting` for a format that does not fit the name."""
        if not str(path):
            raise InvalidSetting("the output has no name", expected="a folder, or a file")
        self.path = Path(path).absolute()
        if not is_utf8(str(self.path)):
            raise InvalidSetting("the name is no UTF-8", where=shown(str(path)), fix="name another output")
        suffix = self.path.suffix.lower()
        self.is_file = suffix in SUFFIXES and not os.path.isdir(self.path)
        if not self.is_file and suffix in SUFFIXES:
            what = "this is a folder, and its name is that of a file"
            raise InvalidSetting(what, where=str(path), fix="name another output, or move the folder away")
        is_folder = os.path.isdir(self.path)
        if not self.is_file and not is_folder and (suffix in _OF_FILES or os.path.exists(self.path)):
            raise InvalidSetting("no output of this kind is written", where=str(path),
                                 expected=f"a file that ends in {', '.join(SUFFIXES)}, or a folder")  # fmt: skip
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
        self, ledger: Ledger, parts: Sequence[Commit], manifest: Mapping[str, object], held: Held, file_size: int
    ) -> None:
        """A run that ended after the last step of this has done it already."""
        held.check()
        if self.is_file:
            self.store.replace(self._joined(ledger, parts)[0], self._target)
            return
        content = hashlib.sha256(repr([file_size, *(each.sha256 for each in parts)]).encode()).hexdigest()
        if self._manifest().get("content") == content and self.published(ledger.name):
            return
        folder = f"{ledger.name}/files"
        self.store.remove(folder)
        groups = grouped(parts, file_size)
        files = [self._file(ledger, group, folder) for group in groups]
        self.store.share([f"{ledger.data}/{each['file']}" for each, of in zip(files, groups, strict=True)
                          if len(of) == 1], folder)  # fmt: skip
        told = {**manifest, "content": content, "parts": files}
        self.store.put(f"{folder}/{MANIFEST}", msgspec.json.format(msgspec.json.encode(told), indent=1))
        _take_place(self.store.root / folder, self._target)

    def _file(self, ledger: Ledger, group: Sequence[Commit], folder: str) -> dict[str, object]:
        """What the manifest tells of a file, which is made in `folder` where it is no part as it is."""
        name, size, digest = group[0].part, group[0].bytes, group[0].sha256
        if len(group) > 1:
            made, size, digest = self._joined(ledger, group)
            name = part_name(group[0].shard, digest, made.suffix)
            self.store.add_file(made, f"{folder}/{name}")
            digest = f"sha256:{digest}"
        return {"file": name, "rows": sum(each.rows for each in group), "bytes": size, "sha256": digest}

    def _joined(self, ledger: Ledger, parts: Sequence[Commit]) -> tuple[Path, int, str]:
        path = self.store.scratch(f"joined.{self.format}")
        with told(path):
            files = self.store.files([f"{ledger.data}/{each.part}" for each in parts])
            return path, *join(self.format, files, path)

    def check_free(self, *, fresh: bool) -> None:
        with told(self.store.root):
            super().check_free(fresh=fresh)

    def check_apart(self, asked: str | Path | None, data: Data) -> None:
        example = self._target if self.is_file else self._target / f"part-0.{self.format}"
        check_apart(asked, data.files, self._target, self.store.root, example)

    def published(self, name: str) -> bool:
        return self._target.exists() if self.is_file else self._manifest().get("job") == name

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
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        call = ctypes.CDLL(None, use_errno=True).renameat2
        if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
            return
    aside = one.with_name(f"{one.name}.old")
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)
