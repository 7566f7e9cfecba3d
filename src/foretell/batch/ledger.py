"""What of a job is done: one small record for each committed shard, and the step that makes the output visible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from foretell.batch.job import FORMAT, Commit, Job
from foretell.batch.store import Store
from foretell.errors import InvalidInput

_DIGITS = 6


class Ledger:
    """The records of one job in a store. A shard is done when its record is there, and not before."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name

    @property
    def data(self) -> str:
        """The folder of the parts."""
        return f"{self.name}/data"

    def job(self) -> Job | None:
        """What was written down when the job was planned. Raises `InvalidInput` for a record that is none of ours."""
        content = self.store.read(f"{self.name}/job.json")
        if content is None:
            return None
        where = self.store.where(f"{self.name}/job.json")
        try:
            written = msgspec.json.decode(content, type=_Format).format
            if written == FORMAT:
                return Job.decoded(content)
        except msgspec.DecodeError as error:
            fix = "run with --fresh to start again"
            raise InvalidInput(f"the record of the job cannot be read: {error}", where=where, fix=fix) from None
        raise InvalidInput("another release of foretell began this job", where=where, expected=f"format {FORMAT}",
                           got=written, fix="go on with that release, or run with --fresh")  # fmt: skip

    def begin(self, job: Job) -> None:
        """Writes down the job, before its first shard."""
        self.store.put_new(f"{self.name}/job.json", job.encoded())

    def committed(self) -> set[int]:
        """The numbers of the shards that are done."""
        return {int(name.partition(".")[0]) for name in self.store.names(f"{self.name}/shards")}

    def commit(self, record: Commit) -> Commit:
        """Makes a shard done. Gives the record that holds: where it was done already, the one that is there."""
        name = self._record(record.shard)
        if self.store.put_new(name, msgspec.json.encode(record)):
            return record
        content = self.store.read(name)
        return record if content is None else msgspec.json.decode(content, type=Commit)

    def records(self) -> Iterator[Commit]:
        """Of every shard that is done, in order."""
        names = self.store.names(f"{self.name}/shards")
        for content in self.store.read_all([f"{self.name}/shards/{name}" for name in names]):
            if content is not None:
                yield msgspec.json.decode(content, type=Commit)

    def forget(self, shard: int) -> None:
        """Makes a shard undone, so that it is scored again."""
        self.store.remove(self._record(shard))

    def reopen(self) -> None:
        """Makes the shards undone that have rows without an answer."""
        for record in list(self.records()):
            if record.quarantined:
                self.forget(record.shard)
        self.unfinish()

    def check_parts(self) -> None:
        """Makes the shards undone whose parts somebody has taken away."""
        there = set(self.store.names(self.data))
        for record in list(self.records()):
            if record.part and record.part not in there:
                self.forget(record.shard)

    def finish(self, summary: Mapping[str, object]) -> None:
        """Writes down that the output stands where it belongs."""
        self.store.put(f"{self.name}/done.json", msgspec.json.encode(summary))

    def finished(self) -> dict[str, object] | None:
        """What `finish` has written, or None while the job is not done."""
        content = self.store.read(f"{self.name}/done.json")
        return None if content is None else msgspec.json.decode(content, type=dict[str, object])

    def unfinish(self) -> None:
        """Opens a finished job again."""
        self.store.remove(f"{self.name}/done.json")

    def _record(self, shard: int) -> str:
        return f"{self.name}/shards/{shard:0{_DIGITS}}.json"


class _Format(msgspec.Struct):
    format: int
