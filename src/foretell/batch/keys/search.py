"""The search for keys that stand more than once, once all shards are done: as the job has it done by its processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from foretell.batch.job import Commit, Job
from foretell.batch.keys.ranges import suspects
from foretell.batch.ledger import Ledger
from foretell.batch.messages import CheckKeys, KeysChecked
from foretell.batch.output import DUPLICATES
from foretell.batch.report import Duplicates
from foretell.batch.shards import Shard
from foretell.batch.store import told

Have = Callable[[Sequence[CheckKeys]], Iterator[KeysChecked]]
"""Has tasks done, and gives the answers as they come."""

_EXAMPLES = 5
_RECORD = "keys.json"


def duplicates(
    job: Job, ledger: Ledger, records: Sequence[Commit], have: Have | None, begins: Callable[[], None]
) -> Duplicates | None:
    """The keys of a job that stand more than once: as found before, as the records prove, or else as the keys tell when
    they are read again. `have` None: they are not, and then nobody knows. `begins`: called before they are.

    Raises `NoRoom` where there is no room for 8 bytes for each row, and what reading raises.
    """
    content = ledger.store.read(f"{ledger.name}/{_RECORD}")
    if content is not None:
        return msgspec.json.decode(content, type=Duplicates)
    shards = [job.plan.shards[number] for number in suspects({each.shard: each.keys for each in records})]
    if not shards:
        return Duplicates()
    if have is None:
        return None
    begins()
    return _searched(job, ledger, shards, have)


def _searched(job: Job, ledger: Ledger, shards: Sequence[Shard], have: Have) -> Duplicates:
    """Writes down what is found, also for another run."""
    store = ledger.store
    folder = store.scratch("keys")
    with told(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    try:
        found = _found(job, folder, shards, have)
        if found.keys:
            lines = (folder / "lines").read_bytes()
            store.put(DUPLICATES, lines)
            examples = tuple(msgspec.json.decode(line) for line in lines.splitlines()[:_EXAMPLES])
            found = Duplicates(found.keys, found.rows, examples, store.where(DUPLICATES))
        else:
            store.remove(DUPLICATES)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    store.put(f"{ledger.name}/{_RECORD}", msgspec.json.encode(found))
    return found


def _found(job: Job, folder: Path, shards: Sequence[Shard], have: Have) -> Duplicates:
    for _ in have([CheckKeys("hash", str(folder), (shard,)) for shard in shards]):
        pass
    (repeated,) = have([CheckKeys("repeated", str(folder), tuple(shards))])
    concerned = [job.plan.shards[number] for number in repeated.shards]
    if not concerned:
        return Duplicates()
    for _ in have([CheckKeys("collect", str(folder), (shard,)) for shard in concerned]):
        pass
    (grouped,) = have([CheckKeys("group", str(folder), tuple(concerned))])
    return Duplicates(grouped.keys, grouped.rows)
