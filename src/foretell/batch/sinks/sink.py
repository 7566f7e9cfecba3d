"""The contract between a job and the files it writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from foretell.batch.block import Scored
from foretell.errors import InvalidSetting
from foretell.types import ModelSpec


class Part(ABC):
    """One file that is being written. The same rows give the same bytes, however they were cut into calls."""

    schema = ""
    """The columns and their types, known once something was written: all parts of a job must agree."""

    @abstractmethod
    def write(self, scored: Scored) -> None:
        """Adds rows."""

    @abstractmethod
    def close(self) -> None:
        """Ends the file. Without it the file is no good."""


class Sink(ABC):
    """Makes parts."""

    suffix: ClassVar[str]

    def __init__(self, spec: ModelSpec, metadata: Mapping[str, str], stamp: Mapping[str, str], group_rows: int) -> None:
        """`metadata`: what each file tells of itself, where its format can. `stamp`: further columns, the same in every
        row. `group_rows`: rows that are encoded together."""
        self.spec, self.metadata, self.stamp, self.group_rows = spec, metadata, stamp, group_rows

    def check_names(self, scored: Scored) -> None:
        """Raises `InvalidSetting` where an output has the name of a key, of which not every model tells beforehand."""
        names = [*scored.keys, *scored.answer.columns, *self.stamp]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidSetting(f"the output would have two columns {twice!r}",
                                 fix="rename the column of the data, or choose another key")  # fmt: skip

    @abstractmethod
    def part(self, path: Path) -> Part:
        """A file to be written at `path`."""
