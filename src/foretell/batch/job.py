"""What a job is: everything that decides its output, as plain data that is written down once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from foretell.batch.inputs import changed
from foretell.batch.keys.ranges import KeyRange
from foretell.batch.listing import difference, is_listing
from foretell.batch.shards import InputFile, Shard
from foretell.batch.sql.naming import difference as query_difference
from foretell.batch.sql.naming import is_query
from foretell.types import Identity

ROW, FILE = "row", "file"
"""Columns of the output that tell rows apart where nobody has named a key."""

AS_TEXT = "read the keys of JSON Lines as text (--text-keys), write JSON Lines, or choose another key"
"""What to do about keys that are not of one type."""

FORMAT = 2
"""Of the records; a job that another format was written for is not gone on with."""


@dataclass(frozen=True, slots=True)
class Data:
    """The rows: a kind of source, its files as they are now, and its own options."""

    kind: str
    files: tuple[InputFile, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """Rows are scored where `column` `op` `value` holds; a null holds for nothing."""

    column: str
    op: str
    value: str | float | int | tuple[str | float | int, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked for, beside the data and the model.

    `keys`: columns that stand beside each answer. `mapping`: input -> its columns. `top`: of class scores, so many best
    ones by name. `stamp`: whether each row carries the model's name, version and digest. `output`: its format.
    """

    output: str
    keys: tuple[str, ...] = ()
    mapping: Mapping[str, tuple[str, ...]] | None = None
    where: tuple[Condition, ...] = ()
    top: int | None = None
    stamp: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How the job is done, decided once by whoever loaded the model first.

    `keys`: the columns that stand in the output; `columns`: input -> its columns. `group_rows`: rows of one row group
    of the output.
    """

    identity: Identity
    keys: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    shards: tuple[Shard, ...]
    group_rows: int
    row_numbers: bool
    where: tuple[Condition, ...] = ()
    """The conditions, with values of the kind of their column."""
    broken: Mapping[int, str] = field(default_factory=dict)
    """Files that cannot be read, by their number, and why. Each has a shard without rows."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Columns that stand in the names of folders, and what they are: "int" or "text"."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every column that is needed, each once."""
        inputs = [name for names in self.columns.values() for name in names]
        keys = () if self.row_numbers else self.keys
        return tuple(dict.fromkeys((*keys, *inputs, *(each.column for each in self.where))))

    @property
    def read(self) -> tuple[str, ...]:
        """Those of them that stand in the files."""
        return tuple(name for name in self.wanted if name not in self.folders)


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Where the model is, for another run: its source, name and version, its settings as plain data, and the folder
    in which the job was begun. A live object has only a name here."""

    source: str
    is_path: bool
    name: str
    version: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What is written down as `job.json`."""

    name: str
    made_from: Mapping[str, str]
    """Digests of what decides the output: "inputs", "model", "settings"."""
    data: Data
    wish: Wish
    plan: Plan
    model: ModelRef
    format: int = FORMAT

    def encoded(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def decoded(cls, content: bytes) -> Job:
        return msgspec.json.decode(content, type=cls)


@dataclass(frozen=True, slots=True)
class Commit:
    """The record of one shard. `part` is None where no row of it has an answer; then there is no file.

    `quarantine`: the file that holds its rows without an answer, or None.
    """

    shard: int
    rows: int
    quarantined: int
    part: str | None
    bytes: int
    sha256: str
    schema: str
    quarantine: str | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many of the quarantined rows ended with each code."""
    example: str = ""
    """What the first of them ended with, and which it is."""
    keys: KeyRange | None = None
    """None where nothing is known of them."""


def part_name(shard: int, digest: str, suffix: str) -> str:
    """Of a file whose first rows are those of this shard: in order, and other content has another name."""
    return f"part-{shard:06}-{digest[:16]}{suffix}"


def made_from(data: Data, wish: Wish, model: Mapping[str, Any]) -> dict[str, str]:
    """The digests of `Job.made_from`. `model`: its source, digest of its file, and settings that decide answers."""
    return {"inputs": _digest(data), "model": _digest(model), "settings": _digest(wish)}


def name_of(parts: Mapping[str, str]) -> str:
    """The name of the job that is made from these."""
    return _digest(dict(parts))[:16]


def differences(job: Job, parts: Mapping[str, str], data: Data) -> str:
    """What is not as it was when `job` was planned, for people."""
    said = []
    if job.made_from["inputs"] != parts["inputs"]:
        said.append(_changed_inputs(job.data.files, data.files) or _changed_options(job.data, data))
    said += [f"the {what} changed" for what in ("model", "settings") if job.made_from[what] != parts[what]]
    return ", ".join(said)


def _changed_inputs(before: Sequence[InputFile], now: Sequence[InputFile]) -> str:
    if all(map(is_query, (*before, *now))):
        return query_difference(before[0], now[0])
    old, new = {file.path: file for file in before}, {file.path: file for file in now}
    for path, file in old.items():
        if path not in new:
            return f"the input changed ({path} is not part of it any more)"
        if file != new[path] and is_listing(file):
            return f"the input changed ({path}: {difference(file, new[path])})"
        if file != new[path]:
            return f"the input changed ({path}: {changed(file) or 'it is another file'})"
    more = next((path for path in new if path not in old), None)
    return f"the input changed ({more} is new)" if more else ""


def _changed_options(before: Data, now: Data) -> str:
    other = [name for name in {**before.options, **now.options} if before.options.get(name) != now.options.get(name)]
    flag = f" (--{min(other).replace('_', '-')})" if other else ""
    return f"the input is read in another way{flag}"


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
