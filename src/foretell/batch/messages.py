"""What a job and the processes that score for it say to each other, in msgpack, over a `remote.channel.Channel`."""

from __future__ import annotations

from typing import Literal

import msgspec

from foretell.batch.careful import Care
from foretell.batch.job import Commit, Data, Job, Plan, Wish
from foretell.batch.shards import Shard
from foretell.remote.messages import FaultNote


class Load(msgspec.Struct, array_like=True, tag=0):
    """Load the model of the recipe, under this name and version. Answered by `Loaded`."""

    name: str
    version: str
    device: str
    retries: int


class MakePlan(msgspec.Struct, array_like=True, tag=1):
    """Answered by `Planned`."""

    data: Data
    wish: Wish


class Begin(msgspec.Struct, array_like=True, tag=2):
    """The job whose shards come; not answered. `root`: the folder of its state. `memory`: bytes that the process may
    have, if anybody knows; `scarce`: whether it must be careful from its first call on. `follow_keys`: whether records
    tell of the order of the keys. `overlap`: whether it reads, preprocesses and writes while it predicts."""

    job: Job
    root: str
    batch_size: int | None
    memory: int | None
    scarce: bool
    follow_keys: bool = False
    overlap: bool = False


class Score(msgspec.Struct, array_like=True, tag=3):
    """Answered by `Scored`."""

    shard: Shard
    care: Care


class Allow(msgspec.Struct, array_like=True, tag=4):
    """The process may have so many bytes from now on; not answered."""

    memory: int


class CheckKeys(msgspec.Struct, array_like=True, tag=5):
    """A step of the search for keys that stand more than once; answered by `KeysChecked`. `folder`: of the files that
    the steps leave for each other. "hash" and "collect" read one shard, the others look at all."""

    step: Literal["hash", "repeated", "collect", "group"]
    folder: str
    shards: tuple[Shard, ...]


class WriteEmpty(msgspec.Struct, array_like=True, tag=6):
    """Write a part without rows: there is no other. Answered by `EmptyWritten`."""


Task = Load | MakePlan | Begin | Score | Allow | CheckKeys | WriteEmpty


class Loaded(msgspec.Struct, array_like=True, tag=0):
    """The model is ready."""


class Planned(msgspec.Struct, array_like=True, tag=1):
    plan: Plan


class Scored(msgspec.Struct, array_like=True, tag=2):
    """`seconds`: from the first look at the file of the shard until its record was written."""

    commit: Commit
    seconds: float


class KeysChecked(msgspec.Struct, array_like=True, tag=5):
    """`shards`: those that may have a key that stands more than once. `keys`: how many do, in `rows` rows together."""

    shards: tuple[int, ...] = ()
    keys: int = 0
    rows: int = 0


class EmptyWritten(msgspec.Struct, array_like=True, tag=6):
    """`part`: what is told of it, as of that of a shard; None where nobody knows what its columns are."""

    part: Commit | None


class Failed(msgspec.Struct, array_like=True, tag=3):
    """The task could not be done, and no row is to blame."""

    note: FaultNote


class Ended(msgspec.Struct, array_like=True, tag=4):
    """Never sent: the process is gone. `how`: the end of a sentence."""

    how: str


Event = Loaded | Planned | Scored | KeysChecked | EmptyWritten | Failed | Ended

tasks = msgspec.msgpack.Decoder(Task)
events = msgspec.msgpack.Decoder(Event)
