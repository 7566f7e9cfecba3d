"""What a job and the process that has a driver say to each other, in msgpack, over a `remote.channel.Channel`."""

from __future__ import annotations

import msgspec

from foretell.remote.messages import FaultNote


class Place(msgspec.Struct, array_like=True):
    """Where the job runs: its working folder, and where it looks for modules."""

    folder: str
    search: list[str]


class ReadQuery(msgspec.Struct, array_like=True, tag=0):
    """Read the rows of a query into `folder` of a store. `address` may hold a password. Answered by `Done`."""

    place: Place
    address: str
    query: str
    store: str
    folder: str
    keys: list[str]


class LookUp(msgspec.Struct, array_like=True, tag=1):
    """Tell what stands under the name of a table: its schema ("" where none is named), and itself. Answered by
    `Looked`."""

    place: Place
    address: str
    table: tuple[str, str]


class Publish(msgspec.Struct, array_like=True, tag=2):
    """Put the rows of Parquet files into a table, once. `allowed`: other jobs whose table may go. The rest is written
    down beside it. Answered by `Done`."""

    place: Place
    address: str
    table: tuple[str, str]
    files: list[str]
    allowed: list[str]
    job: str
    rows: int
    model: str
    version: str
    digest: str
    content: str


Task = ReadQuery | LookUp | Publish


class Done(msgspec.Struct, array_like=True, tag=0):
    """It is done, and will last."""


class Failed(msgspec.Struct, array_like=True, tag=1):
    note: FaultNote


class Going(msgspec.Struct, array_like=True, tag=2):
    """It goes on: so many rows so far."""

    rows: int


class Looked(msgspec.Struct, array_like=True, tag=3):
    """`job`: the one that has made the table, or None."""

    is_there: bool
    job: str | None


Reply = Done | Failed | Going | Looked

tasks = msgspec.msgpack.Decoder(Task)
replies = msgspec.msgpack.Decoder(Reply)
