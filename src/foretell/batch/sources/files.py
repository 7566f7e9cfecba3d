"""Sources whose rows are files: in a folder, in archives, or named one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from foretell.batch.files import Files
from foretell.batch.shards import MOST_SHARDS, InputFile, Shard, ShardSize, numbered
from foretell.batch.sources.holders import Holder, holder_of
from foretell.batch.sources.source import Field, FieldKind, Source
from foretell.errors import InvalidInput

FILE = "file"


class FileSource(Source):
    """Each row has the name of its file, relative to the folder or in the archive, and `content`."""

    kind: ClassVar[str]
    content_kind: ClassVar[FieldKind]
    shard_files: ClassVar[int]
    """Files of a shard, where there are not very many."""
    most_bytes: ClassVar[int]
    """Larger files are not read."""

    default_keys = (FILE,)

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        super().__init__(files, options)
        self._holders: dict[int, Holder] = {}
        self._opening = Files()

    def fields(self) -> tuple[Field, ...]:
        return Field(FILE, "text", "string"), Field(self.content, self.content_kind, self.kind)

    def shards(self, size: ShardSize) -> list[Shard]:
        def most(files: int) -> int:
            return max(self.shard_files, files * len(self.files) // MOST_SHARDS)

        made: list[Shard] = []
        for number in range(len(self.files)):
            made += self.holder(number).shards(number, most, first=not made)
        if not made:
            raise InvalidInput(f"there are no {self.kind}", where=self.files[0].path)
        return numbered(made)

    def close(self) -> None:
        self._forget()
        self._opening.close()

    def holder(self, number: int) -> Holder:
        """One at a time is open."""
        if number not in self._holders:
            self._forget()
            self._holders[number] = holder_of(self.files[number], self.kind, self.most_bytes, self._opening)
        return self._holders[number]

    def _forget(self) -> None:
        for holder in self._holders.values():
            holder.close()
        self._holders.clear()
