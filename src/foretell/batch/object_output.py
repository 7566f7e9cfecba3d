"""The output of a job in object storage: one object, written last, makes it visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from foretell.batch.address import Address, parse
from foretell.batch.apart import check_apart_objects
from foretell.batch.job import Commit, Data, part_name
from foretell.batch.joins.grouping import grouped
from foretell.batch.joins.registry import join
from foretell.batch.ledger import Ledger
from foretell.batch.manifest import MANIFEST, parts_of, read_manifest
from foretell.batch.object_store import ObjectStore
from foretell.batch.output import STATE, Output, format_of
from foretell.batch.sinks.registry import SUFFIXES
from foretell.batch.store import Held
from foretell.file_lock import Occupied


class ObjectOutput(Output):
    """One object; or a prefix, whose `manifest.json` names the parts.

    Nothing is renamed: parts are written once, where they stay, with names that tell their content. The parts of the
    manifest before stay until the next run begins, for whoever still reads by it.
    """

    store: ObjectStore
    usual_file_size = 0

    def __init__(self, address: str, fmt: str | None = None) -> None:
        """Raises `InvalidSetting` for a wrong address, or a format that does not fit the name."""
        self._place = parse(address)
        suffix = PurePosixPath(self._place.name).suffix.lower()
        self.is_file = suffix in SUFFIXES
        self.format = format_of(suffix, fmt, str(self._place))
        state = Address(self._place.scheme, self._place.bucket, f"{self._place.key}.foretell")
        self.store = ObjectStore(str(state if self.is_file else self._place.below(STATE)))
        self._before: frozenset[str] = frozenset()
        """The parts of the manifest that was replaced, for whoever still reads by it."""
        self._has_joined = False

    def __str__(self) -> str:
        return str(self._place)

    @property
    def target(self) -> str:
        return str(self._place if self.is_file else self._place.below(MANIFEST))

    def check_apart(self, asked: str | Path | None, data: Data) -> None:
        if self.is_file:
            check_apart_objects(asked, data.files, self.target)

    def begin(self, name: str, *, fresh: bool) -> None:
        super().begin(name, fresh=fresh)
        published = self._published_parts(name)
        if published and not published.issuperset(self.store.names(f"{name}/data")):
            # Parts that a later output of the same job has replaced, but for those of shards that are scored again.
            committed = {record.part for record in Ledger(self.store, name).records() if record.part}
            self.store.clear(f"{name}/data", published | committed)

    def publish(
        self, ledger: Ledger, parts: Sequence[Commit], manifest: Mapping[str, Any], held: Held, file_size: int
    ) -> None:
        """Parts that become one object are fetched for that, and put there again."""
        bucket, key = self.store.bucket, parse(self.target).key
        if self.is_file:
            joined = self._joined(ledger, parts)[0]
            held.check()
            bucket.upload(key, joined)
            return
        files = [self._file(ledger, group) for group in grouped(parts, file_size)]
        told = {**manifest, "parts": files}
        content = msgspec.json.format(msgspec.json.encode(told), indent=1)
        found = bucket.read(key)
        if found is not None and found[0] == content:
            return
        # Parts that were joined stay, too, until all is done: who goes on after a crash needs them.
        names = {each.part for each in parts if each.part} | {each["file"].rpartition("/")[2] for each in files}
        self._before = self._published_parts(ledger.name)
        self.store.clear(ledger.data, self._before | names)
        held.check()
        # Between the two another job may have come: then the object is not the known one any more.
        done = bucket.create(key, content) if found is None else bucket.replace(key, content, found[1])
        if done is None:
            raise Occupied("another job has written the output meanwhile", where=str(self), fix="leave it to that one")

    def _file(self, ledger: Ledger, group: Sequence[Commit]) -> dict[str, Any]:
        """What the manifest tells of an object, which is made where it is no part as it is."""
        name, size, digest = group[0].part, group[0].bytes, group[0].sha256
        if len(group) > 1:
            made, size, digest = self._joined(ledger, group)
            name = part_name(group[0].shard, digest, made.suffix)
            self.store.add_file(made, f"{ledger.data}/{name}")
            self._has_joined = True
            digest = f"sha256:{digest}"
        rows = sum(each.rows for each in group)
        return {"file": f"{STATE}/{ledger.data}/{name}", "rows": rows, "bytes": size, "sha256": digest}

    def _joined(self, ledger: Ledger, parts: Sequence[Commit]) -> tuple[Path, int, str]:
        path = self.store.scratch(f"joined.{self.format}")
        return path, *join(self.format, self.store.files([f"{ledger.data}/{each.part}" for each in parts]), path)

    def published(self, name: str) -> bool:
        if self.is_file:
            return self.store.bucket.look(self._place.key) is not None
        return self._manifest().get("job") == name

    def _is_taken(self) -> bool:
        bucket = self.store.bucket
        if self.is_file:
            return bucket.look(self._place.key) is not None
        return bool(bucket.names(self._place.key))

    def _drop_parts(self, ledger: Ledger) -> None:
        if self.is_file:
            super()._drop_parts(ledger)
        elif self._has_joined:
            self.store.clear(ledger.data, self._published_parts(ledger.name) | self._before)

    def _forget(self, name: str) -> None:
        kept = self._published_parts(name)
        if not kept:
            self.store.remove(name)
            return
        self.store.clear(name, frozenset({"data"}))
        self.store.clear(f"{name}/data", kept)

    def _manifest(self) -> dict[str, Any]:
        """Of the output that stands there; empty where there is none."""
        return {} if self.is_file else read_manifest(self.store.bucket, self._place) or {}

    def _published_parts(self, name: str) -> frozenset[str]:
        """The parts of the job of this name that readers may read."""
        manifest = self._manifest()
        if manifest.get("job") != name:
            return frozenset()
        return frozenset(part.rpartition("/")[2] for part in parts_of(manifest))
