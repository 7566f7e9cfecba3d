"""What one process of a job does: it has the model, plans if it is asked to, and scores shards."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
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
from foretell.batch.job import Commit, Data, Plan, Wish, part_name
from foretell.batch.keys.checking import check_keys
from foretell.batch.keys.order import KeyOrder
from foretell.batch.ledger import Ledger
from foretell.batch.messages import Begin, CheckKeys, EmptyWritten, KeysChecked
from foretell.batch.overlap import Overlap
from foretell.batch.planning import PADDED_ROWS, STAMP, plan
from foretell.batch.reading import Reading, rows_per_read
from foretell.batch.scorer import Lost, Scorer
from foretell.batch.shards import Shard
from foretell.batch.sinks.registry import open_sink
from foretell.batch.sinks.sink import Sink
from foretell.batch.sources.registry import open_source
from foretell.batch.sources.source import Source
from foretell.batch.store import open_store, told
from foretell.batch.watch import Watch
from foretell.batch.writing import Writing
from foretell.engine.ahead import run_ahead
from foretell.engine.padded_calls import padded_inputs
from foretell.engine.replica import Replica
from foretell.errors import InvalidModel
from foretell.forms.top import best, shown
from foretell.types import Identity

_CLOSE_S = 5.0
Failing = Callable[[Exception], None]
_HASHED_AT_ONCE = 2**20


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
        rows = batch_size or (PADDED_ROWS if padded else rows_per_read(job, self._source, overlap=task.overlap))
        self._reading = Reading(job, self._source, rows)
        # Rows that are filled up are cut into calls by their length, behind this one: its size tells nothing.
        self._size = CallSize(rows, fixed=batch_size is not None or padded)
        self.watch = None if task.memory is None else Watch(self._size, task.memory, scarce=task.scarce)
        files = [file.path for file in job.data.files]
        self._scorer = Scorer(replica, plan.columns, plan.keys, self._size, board, files, device, retries, self.watch)
        identity = plan.identity
        metadata = {"model": json.dumps(asdict(identity))}
        whose = (identity.name, identity.version, identity.artefact_digest)
        stamp = dict(zip(STAMP, whose, strict=True)) if job.wish.stamp else {}
        self._behind = Behind("write")
        self._overlap = Overlap(task.overlap)
        self._best = partial(best, spec=replica.model.spec, top=job.wish.top)
        self._followed = plan.keys if task.follow_keys else ()
        self._outputs = shown(replica.model.spec, job.wish.top)
        self._sink: Sink = open_sink(job.wish.output, self._outputs, metadata, stamp, plan.group_rows)

    def run(self, shard: Shard, care: Care, committed: Callable[[Commit], None], failed: Failing) -> None:
        began, board, overlap = time.monotonic(), self._board, self._overlap.now and not care.in_turns
        if care.in_turns:
            self._behind.wait()  # whatever ends this process from here on, this shard does it
        self._reading.check_unchanged(shard)
        path = self._store.scratch(f"{shard.index:06}{self._sink.suffix}")
        reads, writes = (board.reader, board.writer) if overlap else (board.model, board.model)
        writing = Writing(shard.index, path, self._sink.part(path), writes)
        write: Callable[[Callable[[], None]], None] = self._behind.put if overlap else _now
        lost, order, rows = list[Lost](), KeyOrder(self._followed), 0
        try:
            with ExitStack() as ends:
                read = ends.enter_context(closing(self._reading.blocks(shard, care, self._job.plan.wanted, reads)))
                blocks = ends.enter_context(closing(run_ahead(order.followed(read), _same, int(overlap))))
                scores = self._scorer.score(blocks, shard.index, care, lost, overlap=overlap)
                for scored in ends.enter_context(closing(scores)):
                    writing.check()
                    write(partial(writing.write, scored, self._best))
                    rows += scored.rows
            write(writing.close)
            self._reading.check_unchanged(shard)
            if not overlap:
                writing.check()
        except BaseException:
            self._behind.wait()
            writing.discard()
            raise
        if not care.in_turns:
            self._overlap.learn(overlap, rows, time.monotonic() - began)
        self._behind.put(partial(self._commit, shard, writing, lost, order, committed, failed))

    def _commit(
        self, shard: Shard, writing: Writing, lost: list[Lost], order: KeyOrder, committed: Callable[[Commit], None],
        failed: Failing,
    ) -> None:  # fmt: skip
        try:
            writing.check()
            record = self._ledger.commit(replace(self._keep(shard, writing, lost), keys=order.range()))
        except Exception as error:
            failed(error)
        else:
            committed(record)
        finally:
            writing.discard()

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

        def blocks(shard: Shard) -> Iterator[Block]:
            found = self._reading.blocks(shard, Care(), columns, self._board.model)
            return (each for each in found if isinstance(each, Block))

        return check_keys(task, plan.keys, paths, blocks)

    def close(self) -> None:
        self._behind.close()
        self._source.close()
        self._store.close()

    def _keep(self, shard: Shard, writing: Writing, lost: list[Lost]) -> Commit:
        """Puts part and quarantine where they belong; they count once the record is there."""
        quarantine = None
        if lost:
            content = b"".join(msgspec.json.encode(self._line(each)) + b"\n" for each in lost)
            quarantine = f"{shard.index:06}-{hashlib.sha256(content).hexdigest()[:16]}.jsonl"
            self._store.put(f"{self._job.name}/quarantine/{quarantine}", content)
        rows = writing.rows
        name, size, digest = self._put(writing.path, shard.index) if rows else (None, 0, "")
        reasons = Counter(each.error.code for each in lost)
        return Commit(shard.index, rows, len(lost), name, size, digest, writing.part.schema, quarantine, dict(reasons),
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


def _same(block: Block | Lost) -> Block | Lost:
    return block


def _now(step: Callable[[], None]) -> None:
    step()


def _digest(path: Path) -> str:
    made = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_AT_ONCE):
            made.update(chunk)
    return made.hexdigest()
