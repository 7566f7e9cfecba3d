"""What one process of a job does: it has the model, plans if it is asked to, and scores shards."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import msgspec

from foretell.batch.behind import Behind
from foretell.batch.block import Block
from foretell.batch.board import Board
from foretell.batch.call_size import CallSize
from foretell.batch.careful import Care
from foretell.batch.empty import no_rows
from foretell.batch.files import names_its_version
from foretell.batch.folders import with_folders
from foretell.batch.inputs import changed
from foretell.batch.job import Commit, Data, Job, Plan, Wish, part_name
from foretell.batch.keys.checking import check_keys
from foretell.batch.keys.order import KeyOrder
from foretell.batch.keys.ranges import KeyRange
from foretell.batch.ledger import Ledger
from foretell.batch.messages import Begin, CheckKeys, EmptyWritten, KeysChecked
from foretell.batch.planning import PADDED_ROWS, STAMP, plan
from foretell.batch.scorer import Lost, Scorer
from foretell.batch.shards import Shard
from foretell.batch.sinks.registry import open_sink
from foretell.batch.sinks.sink import Part, Sink
from foretell.batch.sources.registry import open_source
from foretell.batch.sources.source import Source, Unreadable
from foretell.batch.store import open_store, told
from foretell.batch.watch import Watch
from foretell.batch.where import asked_for
from foretell.compression import compression_of
from foretell.engine.ahead import rows_per_call
from foretell.engine.padded_calls import padded_inputs
from foretell.engine.replica import Replica
from foretell.errors import InvalidInput, InvalidModel, RowError
from foretell.forms.top import best, shown
from foretell.types import Identity

_CLOSE_S = 5.0
Failing = Callable[[Exception], None]
_HASHED_AT_ONCE = 2**20
_LEAST_ROWS = 16
"""Of a block, where a place that cannot be read is looked for."""
_MOST_ROWS = 8_192
"""Of one block: of larger ones the rows leave the fast caches between reading and predicting."""


class Worker:
    """Scores shards with a loaded model. One thread calls it."""

    def __init__(self, replica: Replica, identity: Identity, device: str, retries: int, board: Board) -> None:
        """`retries`: what the replica tries by itself after an error that the model marks transient."""
        self._replica, self._identity, self._board = replica, identity, board
        self._device, self._retries = device, retries
        self._work: _Work | None = None

    def plan(self, data: Data, wish: Wish) -> Plan:
        """Raises `InvalidInput` where data and model do not go together."""
        source = open_source(data)
        try:
            return plan(source, data, wish, self._replica.model, self._identity)
        finally:
            source.close()

    def begin(self, task: Begin) -> None:
        """The job whose shards come. Raises `InvalidModel` where the model is not the one that began it."""
        job = task.job
        if job.plan.identity != self._identity:
            what = "the model, its runtime or its settings are not those that began this job"
            raise InvalidModel(what, where=job.model.source, fix="run with --fresh to start again")
        self._work = _Work(self._replica, self._device, self._retries, self._board, task)

    def allow(self, memory: int) -> None:
        """This process may have so many bytes from now on."""
        if self._work is not None and self._work.watch is not None:
            self._work.watch.allow(memory)

    def run(self, shard: Shard, care: Care, committed: Callable[[Commit], None], failed: Failing) -> None:
        """Scores a shard. One of the two is told, in order: `committed` of its record once that lies where it belongs,
        by another thread, while the next shard may be scored already; `failed` why it cannot be committed.

        Raises an `InferenceError` where it cannot be scored; nothing is committed then.
        """
        self._begun().run(shard, care, committed, failed)

    def check_keys(self, task: CheckKeys) -> KeysChecked:
        """Raises an `InferenceError` where a shard cannot be read any more."""
        return self._begun().check_keys(task)

    def write_empty(self) -> EmptyWritten:
        """Where no shard has a part."""
        return self._begun().write_empty()

    def close(self) -> None:
        if self._work is not None:
            self._work.close()
        self._replica.close(_CLOSE_S)

    def _begun(self) -> _Work:
        if self._work is None:
            raise RuntimeError("there is no job yet")
        return self._work


class _Work:
    def __init__(
        self,
        replica: Replica,
        device: str,
        retries: int,
        board: Board,
        task: Begin,
    ) -> None:
        self._job, self._board = task.job, board
        job, plan, batch_size = task.job, task.job.plan, task.batch_size
        self._store = open_store(task.root)
        self._ledger = Ledger(self._store, job.name)
        self._source: Source = open_source(job.data)
        self._source.broken = dict(plan.broken)
        self._source.suit(replica.model.spec, plan.columns)
        padded = bool(padded_inputs(replica.model.spec))
        self._read_rows = batch_size or (PADDED_ROWS if padded else _rows_per_read(job, self._source))
        # Rows that are filled up are cut into calls by their length, behind this one: its size tells nothing.
        self._size = CallSize(self._read_rows, fixed=batch_size is not None or padded)
        self.watch = None if task.memory is None else Watch(self._size, task.memory, scarce=task.scarce)
        files = [file.path for file in job.data.files]
        self._scorer = Scorer(replica, plan.columns, plan.keys, self._size, board, files, device, retries, self.watch)
        identity = plan.identity
        metadata = {"model": json.dumps(asdict(identity))}
        whose = (identity.name, identity.version, identity.artefact_digest)
        stamp = dict(zip(STAMP, whose, strict=True)) if job.wish.stamp else {}
        self._committing = Behind("commit")
        self._spec = replica.model.spec
        self._followed = plan.keys if task.follow_keys else ()
        self._outputs = shown(self._spec, job.wish.top)
        self._sink: Sink = open_sink(job.wish.output, self._outputs, metadata, stamp, plan.group_rows)

    def run(self, shard: Shard, care: Care, committed: Callable[[Commit], None], failed: Failing) -> None:
        self._check_unchanged(shard)
        path = self._store.scratch(f"{shard.index:06}{self._sink.suffix}")
        part, lost, rows, order = self._sink.part(path), list[Lost](), 0, KeyOrder(self._followed)
        try:
            for block in self._blocks(shard, care, lost, self._job.plan.wanted):
                order.see(block)
                for scored in self._scorer.score(block, shard.index, care, lost):
                    self._board.enter("write", shard.index)
                    with told(path):
                        part.write(replace(scored, answer=best(scored.answer, self._spec, self._job.wish.top)))
                    self._board.rest()
                    rows += scored.rows
            self._board.enter("write", shard.index)
            with told(path):
                part.close()
            self._check_unchanged(shard)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        finally:
            self._board.rest()
        self._committing.put(partial(self._commit, shard, part, path, rows, lost, order.range(), committed, failed))

    def _commit(
        self, shard: Shard, part: Part, path: Path, rows: int, lost: list[Lost], keys: KeyRange | None,
        committed: Callable[[Commit], None], failed: Failing,
    ) -> None:  # fmt: skip
        try:
            record = self._ledger.commit(replace(self._keep(shard, part, path, rows, lost), keys=keys))
        except Exception as error:
            failed(error)
        else:
            committed(record)
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def write_empty(self) -> EmptyWritten:
        scored = no_rows(self._job.plan, self._source, self._outputs)
        if scored is None:
            return EmptyWritten(None)
        path = self._store.scratch(f"empty{self._sink.suffix}")
        part = self._sink.part(path)
        with told(path):
            part.write(scored)
            part.close()
        return EmptyWritten(Commit(0, 0, 0, *self._put(path, 0), part.schema))

    def check_keys(self, task: CheckKeys) -> KeysChecked:
        plan = self._job.plan
        columns = tuple(dict.fromkeys((*plan.keys, *(each.column for each in plan.where))))
        paths = [file.path for file in self._job.data.files]
        return check_keys(task, plan.keys, paths, lambda shard: self._blocks(shard, Care(), [], columns))

    def close(self) -> None:
        self._committing.close()
        self._source.close()
        self._store.close()

    def _blocks(self, shard: Shard, care: Care, lost: list[Lost], columns: Sequence[str]) -> Iterator[Block]:
        """What can be read of these columns of a shard; the rest of it goes to `lost`."""
        if shard.file in self._source.broken:
            why = RowError(InvalidInput.code, self._source.broken[shard.file])
            lost.append(Lost(shard.file, 0, {}, why, None))
            return
        rows, at = self._read_rows, shard.first_row
        folders, path = self._job.plan.folders, self._job.data.files[shard.file].path
        read = [name for name in columns if name not in folders] or self._job.plan.read[:1]
        # Where shards are cut by rows, what stands before the place that cannot be read is found with smaller blocks.
        by_rows = shard.start == shard.first_row and shard.rows == shard.stop - shard.start
        while True:
            try:
                rest = replace(shard, start=at, first_row=at) if by_rows else shard
                for block in self._read(rest, care, read, rows):
                    at = block.first_row + block.rows
                    block = with_folders(block, folders, columns, path) if folders else block
                    if (wanted := asked_for(block, self._job.plan.where)) is not None:
                        yield wanted
                return
            except Unreadable as error:
                self._check_unchanged(shard)
                if not self._source.sets_aside:
                    raise
                if by_rows and rows > _LEAST_ROWS:
                    rows = max(_LEAST_ROWS, rows // 32)
                    continue
                left = None if shard.rows is None else shard.first_row + shard.rows - at
                lost.append(Lost(shard.file, at, {}, RowError.of(error), left))
                return
            finally:
                self._board.rest()

    def _read(self, shard: Shard, care: Care, columns: Sequence[str], rows: int) -> Iterator[Block]:
        self._source.left_out = care.left_out
        self._source.decodes = lambda row: self._board.enter("decode", shard.index, row, 1)
        source = self._source.read(shard, columns, rows)
        while True:
            self._board.enter("read", shard.index, shard.first_row, shard.rows or 0)
            block = next(source, None)
            self._board.rest()
            if block is None:
                return
            yield block

    def _check_unchanged(self, shard: Shard) -> None:
        file = self._job.data.files[shard.file]
        if names_its_version(file):
            return
        if how := changed(file):
            fix = "run with --fresh once it is at rest, to score what it holds then"
            raise InvalidInput(f"the input changed while it was read: {how}", where=file.path, fix=fix)

    def _keep(self, shard: Shard, part: Part, path: Path, rows: int, lost: list[Lost]) -> Commit:
        """Puts part and quarantine where they belong; they count once the record is there."""
        quarantine = None
        if lost:
            content = b"".join(msgspec.json.encode(self._line(each)) + b"\n" for each in lost)
            quarantine = f"{shard.index:06}-{hashlib.sha256(content).hexdigest()[:16]}.jsonl"
            self._store.put(f"{self._job.name}/quarantine/{quarantine}", content)
        name, size, digest = self._put(path, shard.index) if rows else (None, 0, "")
        reasons = Counter(each.error.code for each in lost)
        return Commit(shard.index, rows, len(lost), name, size, digest, part.schema, quarantine, dict(reasons),
                      self._example(lost))  # fmt: skip

    def _put(self, path: Path, shard: int) -> tuple[str, int, str]:
        """The name of a part that is whole, now among the others, its bytes and its digest."""
        digest, size = _digest(path), path.stat().st_size
        name = part_name(shard, digest, self._sink.suffix)
        self._store.add_file(path, f"{self._ledger.data}/{name}")
        return name, size, f"sha256:{digest}"

    def _example(self, lost: list[Lost]) -> str:
        if not lost:
            return ""
        said, where = lost[0].error.message, self._source.where(lost[0].file, lost[0].row)
        return said if said.startswith(self._job.data.files[lost[0].file].path) else f"{where}: {said}"

    def _line(self, lost: Lost) -> dict[str, object]:
        error = lost.error
        return {"file": self._job.data.files[lost.file].path, "row": lost.row, "key": lost.key, "code": error.code,
                "error": error.message, "attempts": error.attempts,
                **({} if lost.rows == 1 else {"rows": lost.rows})}  # fmt: skip


def _rows_per_read(job: Job, source: Source) -> int:
    if source.row_bytes is not None:
        return rows_per_call(source.row_bytes)
    files, shards = job.data.files, job.plan.shards
    rows = sum(shard.rows or 0 for shard in shards)
    size = sum(file.size for file in files)
    if any(compression_of(file.path) for file in files):
        size = sum(shard.stop - shard.start for shard in shards)
    return min(_MOST_ROWS, rows_per_call(size // rows if rows else 1024))


def _digest(path: Path) -> str:
    made = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_AT_ONCE):
            made.update(chunk)
    return made.hexdigest()
