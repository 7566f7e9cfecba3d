"""The rows of a query, as they were read: Parquet files of the job's own, which nobody sees but the job."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, ClassVar

from foretell.batch.block import Block
from foretell.batch.job import Condition
from foretell.batch.shards import InputFile, Shard, ShardSize
from foretell.batch.sources.arrow_kinds import kind_of
from foretell.batch.sources.parquet import ParquetSource
from foretell.batch.sources.source import Field, Source
from foretell.errors import InvalidInput


class QuerySource(Source):
    """One input, whose rows are numbered as the query gave them."""

    whole_columns: ClassVar[bool] = True
    sets_aside: ClassVar[bool] = False  # what cannot be read of them is our own fault
    known_options: ClassVar[tuple[str, ...]] = ("query", "read_at", "spool", "retyped")

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        super().__init__(files, options)
        spool = [(str(path), int(size), int(rows)) for path, size, rows in options["spool"]]
        self._starts = [0, *accumulate(rows for *_, rows in spool)]
        self._retyped = {str(name): change for name, change in options["retyped"].items()}
        self._parquet = ParquetSource([InputFile(path, size, "") for path, size, _ in spool], {})

    def fields(self) -> tuple[Field, ...]:
        made = []
        for field in self._parquet.file_fields(0):
            change = self._retyped.get(field.name)
            if change is not None:
                kind = _alias(change["type"])
                told = f"{change['type']} since row {change['row']:,} or soon after"
                field = Field(field.name, kind_of(kind), told)
            elif field.described == "null":
                field = replace(field, kind="unknown")
            made.append(field)
        return tuple(made)

    def narrow(self, where: Sequence[Condition]) -> None:
        self._parquet.narrow([each for each in where if each.column not in self._retyped])

    def shards(self, size: ShardSize) -> list[Shard]:
        made = self._parquet.shards(size)
        begins = [self._starts[shard.file] for shard in made]
        return [replace(shard, file=0, start=begin + shard.start, stop=begin + shard.stop,
                        first_row=begin + shard.first_row)
                for shard, begin in zip(made, begins, strict=True)]  # fmt: skip

    def read(self, shard: Shard, columns: Sequence[str], rows: int) -> Iterator[Block]:
        number = bisect_right(self._starts, shard.start) - 1
        begin = self._starts[number]
        there = replace(shard, file=number, start=shard.start - begin, stop=shard.stop - begin,
                        first_row=shard.first_row - begin)  # fmt: skip
        try:
            for block in self._parquet.read(there, columns, rows):
                yield replace(block, file=0, first_row=begin + block.first_row, columns=self._typed(block.columns))
        except InvalidInput as error:
            what = f"what was read of the query is damaged: {error.what}"
            raise InvalidInput(what, where=error.where, fix="run with --fresh to read it again") from None

    def empty(self, name: str) -> Any:
        return self._typed({name: self._parquet.empty(name)})[name]

    def close(self) -> None:
        self._parquet.close()

    def _typed(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        changed = {name: _alias(self._retyped[name]["type"]) for name in columns if name in self._retyped}
        return {**columns, **{name: columns[name].cast(kind) for name, kind in changed.items()}} if changed else columns


def _alias(name: str) -> Any:
    import pyarrow as pa

    return pa.type_for_alias(name)
