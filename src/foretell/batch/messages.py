"""What a job and the processes that score for it say to each other, in msgpack, over a `remote.channel.Channel`."""

from __future__ import annotations

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
    """The job whose shards come; not answered. `root`: the folder of its state."""

    job: Job
    root: str
    batch_size: int | None


class Score(msgspec.Struct, array_like=True, tag=3):
    """Answered by `Scored`."""

    shard: Shard
    care: Care


class Join(msgspec.Struct, array_like=True, tag=4):
    """Make one file at `path` of the parts of the job. Answered by `Joined`."""

    parts: list[str]
    path: str


Task = Load | MakePlan | Begin | Score | Join


class Loaded(msgspec.Struct, array_like=True, tag=0):
    """The model is ready."""


class Planned(msgspec.Struct, array_like=True, tag=1):
    plan: Plan


class Scored(msgspec.Struct, array_like=True, tag=2):
    commit: Commit


class Joined(msgspec.Struct, array_like=True, tag=5):
    """The file is whole."""


class Failed(msgspec.Struct, array_like=True, tag=3):
    """The task could not be done, and no row is to blame."""

    note: FaultNote


class Ended(msgspec.Struct, array_like=True, tag=4):
    """Never sent: the process is gone. `how`: the end of a sentence."""

    how: str


Event = Loaded | Planned | Scored | Joined | Failed | Ended

tasks = msgspec.msgpack.Decoder(Task)
events = msgspec.msgpack.Decoder(Event)
