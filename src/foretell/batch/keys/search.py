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
from foretell.batch.store import told

Have = Callable[[Sequence[CheckKeys]], Iterator[KeysChecked]]
"""Has tasks done, and gives the answers as they come."""

_EXAMPLES = 5
_RECORD = "keys.json"


def known(ledger: Ledger, records: Sequence[Commit]) -> Duplicates | None:
    """What has been found before, or what the records prove; None where the keys must be read to know."""
    content = ledger.store.read(f"{ledger.name}/{_RECORD}")
    if content is not None:
        return msgspec.json.decode(content, type=Duplicates)
    return None if suspects({each.shard: each.keys for each in records}) else Duplicates()


def search(job: Job, ledger: Ledger, records: Sequence[Commit], have: Have) -> Duplicates:
    """Reads the keys of the shards that may hold some more than once, and writes down what is found: also for another
    run, which finds it by `known`.

    Raises `NoRoom` where there is no room for 8 bytes for each row, and what reading raises.
    """
    store = ledger.store
    folder = store.scratch("keys")
    with told(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    try:
        found = _found(job, folder, suspects({each.shard: each.keys for each in records}), have)
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


def _found(job: Job, folder: Path, numbers: Sequence[int], have: Have) -> Duplicates:
    shards = [job.plan.shards[number] for number in numbers]
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
