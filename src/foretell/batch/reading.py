"""Reading the rows of a shard, and what to tell of those that cannot be read."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from foretell.batch.block import Block
from foretell.batch.board import Lane
from foretell.batch.careful import Care
from foretell.batch.files import names_its_version
from foretell.batch.folders import with_folders
from foretell.batch.inputs import changed
from foretell.batch.job import Job
from foretell.batch.scorer import Lost
from foretell.batch.shards import Shard
from foretell.batch.sources.source import Source, Unreadable
from foretell.batch.where import asked_for
from foretell.compression import compression_of
from foretell.engine.ahead import rows_per_call
from foretell.errors import InvalidInput, RowError

_LEAST_ROWS = 16
"""Of a block, where a place that cannot be read is looked for."""
_MOST_ROWS = 8_192
"""Of one block: of larger ones the rows leave the fast caches between reading and predicting."""
_BLOCKS = 8
"""Of a shard, where they overlap: the first is read while nothing is predicted."""
_SMALL = 32
"""Rows of one of them at least: to predict fewer at once costs more than waiting for more."""


class Reading:
    """Of one job. One thread at a time."""

    def __init__(self, job: Job, source: Source, rows: int) -> None:
        """`rows`: of one block."""
        self._job, self._source, self._rows = job, source, rows

    def blocks(self, shard: Shard, care: Care, columns: Sequence[str], lane: Lane) -> Generator[Block | Lost]:
        """What can be read of these columns of a shard, and of the rest of it why it cannot."""
        if shard.file in self._source.broken:
            why = RowError(InvalidInput.code, self._source.broken[shard.file])
            yield Lost(shard.file, 0, {}, why, None)
            return
        rows, at = self._rows, shard.first_row
        folders, path = self._job.plan.folders, self._job.data.files[shard.file].path
        read = [name for name in columns if name not in folders] or self._job.plan.read[:1]
        # Where shards are cut by rows, what stands before the place that cannot be read is found with smaller blocks.
        by_rows = shard.start == shard.first_row and shard.rows == shard.stop - shard.start
        while True:
            try:
                rest = replace(shard, start=at, first_row=at) if by_rows else shard
                for block in self._read(rest, care, read, rows, lane):
                    at = block.first_row + block.rows
                    block = with_folders(block, folders, columns, path) if folders else block
                    if (wanted := asked_for(block, self._job.plan.where)) is not None:
                        yield wanted
                return
            except Unreadable as error:
                self.check_unchanged(shard)
                if not self._source.sets_aside:
                    raise
                if by_rows and rows > _LEAST_ROWS:
                    rows = max(_LEAST_ROWS, rows // 32)
                    continue
                left = None if shard.rows is None else shard.first_row + shard.rows - at
                yield Lost(shard.file, at, {}, RowError.of(error), left)
                return
            finally:
                lane.rest()

    def check_unchanged(self, shard: Shard) -> None:
        """Raises `InvalidInput` where its file is not what it was when the job began."""
        file = self._job.data.files[shard.file]
        if names_its_version(file):
            return
        if how := changed(file):
            fix = "run with --fresh once it is at rest, to score what it holds then"
            raise InvalidInput(f"the input changed while it was read: {how}", where=file.path, fix=fix)

    def _read(self, shard: Shard, care: Care, columns: Sequence[str], rows: int, lane: Lane) -> Iterator[Block]:
        self._source.left_out = care.left_out
        self._source.decodes = lambda row: lane.enter("decode", shard.index, row, 1)
        source = self._source.read(shard, columns, rows)
        while True:
            lane.enter("read", shard.index, shard.first_row, shard.rows or 0)
            block = next(source, None)
            lane.rest()
            if block is None:
                return
            yield block


def rows_per_read(job: Job, source: Source, *, overlap: bool) -> int:
    """Rows of a block. Where they are read while others are predicted, a shard has several."""
    rows = _rows_that_suit(job, source)
    if overlap:
        most = max((shard.rows or rows for shard in job.plan.shards), default=rows)
        rows = min(rows, max(_SMALL, most // _BLOCKS))
    return rows


def _rows_that_suit(job: Job, source: Source) -> int:
    if source.row_bytes is not None:
        return rows_per_call(source.row_bytes)
    files, shards = job.data.files, job.plan.shards
    rows = sum(shard.rows or 0 for shard in shards)
    size = sum(file.size for file in files)
    if any(compression_of(file.path) for file in files):
        size = sum(shard.stop - shard.start for shard in shards)
    return min(_MOST_ROWS, rows_per_call(size // rows if rows else 1024))
