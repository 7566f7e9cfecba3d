"""What one process does of the search for keys that stand more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from foretell.batch.block import Block
from foretell.batch.messages import CheckKeys, KeysChecked
from foretell.batch.shards import Shard
from foretell.batch.store import told

Blocks = Callable[[Shard], Iterator[Block]]
"""Reads the keys of a shard, and what tells which of its rows are asked for."""


def check_keys(task: CheckKeys, names: Sequence[str], paths: Sequence[str], blocks: Blocks) -> KeysChecked:
    """`names`: the columns of the key; `paths`: the files of the job. Raises `NoRoom`, and what reading raises."""
    # Nothing of it is needed where keys are in order.
    from foretell.batch.keys.grouping import find_keys
    from foretell.batch.keys.reading import put_hashes, put_keys
    from foretell.batch.keys.repeated import find_repeated
    from foretell.batch.keys.scratch import KeyFiles

    files = KeyFiles(task.folder)
    with told(Path(task.folder)):
        if task.step == "repeated":
            return KeysChecked(tuple(find_repeated(files, [shard.index for shard in task.shards])))
        if task.step == "group":
            keys, rows = find_keys(files, {shard.index: paths[shard.file] for shard in task.shards})
            return KeysChecked((), keys, rows)
        put = put_hashes if task.step == "hash" else put_keys
        for shard in task.shards:
            put(files, shard.index, blocks(shard), names)
    return KeysChecked()
