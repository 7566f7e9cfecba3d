"""A record batch of Arrow as a table: its columns are made only for those who ask for one by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Record(Mapping[str, Any]):
    """`batch`: a `pyarrow.RecordBatch`. `kinds`: name of a column -> its type as text."""

    __slots__ = ("batch", "kinds")

    def __init__(self, batch: Any, kinds: Mapping[str, str] | None = None) -> None:
        """`kinds`: those of another one with the same columns, which need not be found out again."""
        self.batch = batch
        self.kinds = {field.name: str(field.type) for field in batch.schema} if kinds is None else kinds

    def __getitem__(self, name: str) -> Any:
        return self.batch.column(name)

    def __contains__(self, name: object) -> bool:
        return name in self.kinds

    def __iter__(self) -> Iterator[str]:
        return iter(self.kinds)

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def rows(self) -> int:
        return int(self.batch.num_rows)

    def slice(self, start: int, stop: int) -> Record:
        """Some of the rows, without a copy."""
        return Record(self.batch.slice(start, stop - start), self.kinds)
