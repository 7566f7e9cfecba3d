"""The report of a run, however it ended: what it says, and where it is put."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from foretell.batch.diary import Diary
from foretell.batch.job import Commit, Data, Job
from foretell.batch.ledger import Ledger
from foretell.batch.machine import machine
from foretell.batch.output import PAGE, QUARANTINE, REPORT, Output
from foretell.batch.report import Duplicates, Outcome, Report
from foretell.batch.shard_times import shard_times
from foretell.batch.sql.query import read_at


def report_of(
    output: Output,
    ledger: Ledger,
    job: Job | None,
    data: Data,
    diary: Diary,
    records: Sequence[Commit],
    *,
    name: str,
    version: str,
    memory: int,
    price: float | None,
    outcome: Outcome = "done",
    error: str = "",
    duplicates: Duplicates | None = None,
) -> Report:
    """`job` None: it has not been planned. `name`, `version`: of the model. `price`: of an hour."""
    store, last, seconds = output.store, diary.progress, diary.seconds
    quarantined = sum(record.quarantined for record in records)
    return Report(
        out=output.target,
        rows=sum(record.rows for record in records),
        quarantined=quarantined,
        scored_now=sum(record.rows for record in records if record.shard in diary.shard_seconds),
        seconds=seconds,
        shards=len(job.plan.shards) if job else 0,
        shards_now=len(diary.shard_seconds),
        bytes_in=sum(file.size for file in data.files),
        bytes_out=sum(record.bytes for record in records),
        processes=diary.most_processes,
        memory_bytes=memory,
        crashes=last.crashes,
        model={"name": name, "version": version, "digest": job.plan.identity.artefact_digest if job else ""},
        stages=last.seconds,
        reasons=_reasons(records),
        quarantine=store.where(QUARANTINE) if quarantined else None,
        cost=None if price is None else seconds / 3600 * price,
        outcome=outcome,
        error=error,
        html=store.where(PAGE),
        started_at=diary.started_at.isoformat(timespec="seconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files=len(data.files),
        data=data.files[0].path if data.files else "",
        kind=data.kind,
        shards_done=len(records),
        total_rows=last.total_rows,
        examples=_examples(ledger, records),
        phases=diary.phases,
        events=_events(diary),
        shard_times=shard_times(diary.shard_seconds, diary.shard_rows, job) if job else None,
        machine=machine(),
        timeline=diary.timeline.columns(),
        read_at=read_at(data),
        duplicates=duplicates,
    )


def put(output: Output, report: Report) -> None:
    """Writes the report, for programs and for people."""
    from foretell.batch.report_page import page  # at the end, when nobody waits for its import

    output.store.put(REPORT, report.encoded())
    output.store.put(PAGE, page(report).encode("utf-8", "replace"))


def _reasons(records: Sequence[Commit]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in records:
        for code, count in record.reasons.items():
            counts[code] = counts.get(code, 0) + count
    return counts


def _events(diary: Diary) -> list[str]:
    more = diary.unusual - len(diary.events)
    return [*diary.events, f"and {more:,} more"] if more else diary.events


class _Line(msgspec.Struct):
    file: str
    row: int
    code: str
    error: str


def _examples(ledger: Ledger, records: Sequence[Commit]) -> dict[str, str]:
    """By reason, the first row that ended with it: of each reason one file is read."""
    found: dict[str, str] = {}
    for record in records:
        if record.quarantine is None or found.keys() >= record.reasons.keys():
            continue
        content = ledger.store.read(f"{ledger.name}/quarantine/{record.quarantine}") or b""
        for text in content.splitlines():
            if found.keys() >= record.reasons.keys():
                break
            with contextlib.suppress(msgspec.DecodeError):
                line = msgspec.json.decode(text, type=_Line)
                found.setdefault(line.code, _said(line))
    return found


def _said(line: _Line) -> str:
    return line.error if line.error.startswith(line.file) else f"{line.file}, row {line.row}: {line.error}"
