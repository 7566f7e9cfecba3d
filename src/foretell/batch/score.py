"""Scoring a data set from end to end: find out what is done, do the rest, put the output in its place."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from foretell.backends.artefact_file import has_threads
from foretell.batch.crew import Crew
from foretell.batch.inputs import find_inputs
from foretell.batch.job import Commit, Data, Job, Wish, differences, made_from, name_of
from foretell.batch.ledger import Ledger
from foretell.batch.limits import Limits
from foretell.batch.model_mark import mark_of, settings_for
from foretell.batch.output import CURRENT, QUARANTINE, REPORT, Output
from foretell.batch.progress import Nobody, Onlooker
from foretell.batch.report import Report
from foretell.batch.runner import Runner, Totals
from foretell.batch.store import Held
from foretell.config import JobSettings, ModelSettings, usable_cores
from foretell.errors import InvalidInput
from foretell.remote.recipe import Recipe

_MOST_ROWS = 32_768


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be scored, by what, and where to. `model`: a path or "module:Class"."""

    model: str | Path
    name: str
    version: str
    settings: ModelSettings
    data: str | Path
    wish: Wish
    job: JobSettings
    format: str | None = None
    fresh: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the source, see its class."""


def run(request: Request, output: Output, onlooker: Onlooker | None = None, crew: Crew | None = None) -> Report:
    """Scores what is missing, and returns once the output stands where it belongs.

    Run again after any end, it goes on where it stopped; once all is done, it does nothing. Raises `InvalidInput` where
    model, data or settings are not those that began the job and `fresh` was not asked for, `Occupied` where another job
    writes to the same output, `TooManyBad`, and what loading the model raises. What is committed stays.
    """
    if crew is None:
        with Crew() as hired:
            return run(request, output, onlooker, hired)
    began = time.monotonic()
    output.check_free(fresh=request.fresh)
    kind, files = find_inputs(request.data, request.format)
    data = Data(kind, tuple(files), request.options)
    parts = made_from(data, request.wish, mark_of(request.model, request.settings, request.name, request.version))
    with output.store.lock(str(output)) as held:
        ledger = _ledger(output, request, parts, data)
        done = ledger.finished()
        if done is not None and output.published(ledger.name):
            return _unchanged(done)
        ledger.unfinish()
        return _Run(request, output, ledger, data, parts, onlooker or Nobody(), crew, held, began).report()


def _ledger(output: Output, request: Request, parts: dict[str, str], data: Data) -> Ledger:
    """The records of this job: those that are there, if they are of the same job. Raises `InvalidInput`."""
    store, name = output.store, name_of(parts)
    known = (store.read(CURRENT) or b"").decode().strip()
    if known and known != name and not request.fresh:
        job = Ledger(store, known).job()
        if job is not None:
            what = f"this output belongs to another job: {differences(job, parts, data) or 'it was made otherwise'}"
            fix = "run with --fresh to start again, or name another output"
            raise InvalidInput(what, where=str(output), fix=fix)
    output.begin(name, fresh=request.fresh)
    return Ledger(store, name)


def _unchanged(done: dict[str, object]) -> Report:
    report = msgspec.convert({k: v for k, v in done.items() if k in Report.__dataclass_fields__}, Report)
    values = {**asdict(report), "scored_now": 0, "shards_now": 0, "seconds": 0.0, "stages": {}, "cost": None}
    return Report(**values)


class _Run:
    def __init__(
        self,
        request: Request,
        output: Output,
        ledger: Ledger,
        data: Data,
        parts: dict[str, str],
        onlooker: Onlooker,
        crew: Crew,
        held: Held,
        began: float,
    ) -> None:
        self._request, self._output, self._ledger, self._data = request, output, ledger, data
        self._parts, self._onlooker, self._crew, self._held, self._began = parts, onlooker, crew, held, began
        devices = request.settings.devices
        cores = usable_cores()
        self._processes = request.job.processes or (cores if devices[0] == "cpu" else len(devices))
        threads = max(1, cores // self._processes) if has_threads(request.model) else 0
        most = request.job.batch_size or _MOST_ROWS
        self._recipes = [
            Recipe.of(request.model, settings_for(request.settings, device, threads, most), name=request.name)
            for device in devices
        ]

    def report(self) -> Report:
        request, ledger, job = self._request, self._ledger, self._request.job
        limits = Limits(job.max_quarantined, job.max_crashes, job.row_attempts)
        with self._runner(limits) as runner:
            plan = ledger.job()
            if plan is None:
                made = runner.plan(self._data, request.wish)
                plan = Job(ledger.name, self._parts, self._data, request.wish, made, str(request.model))
                ledger.begin(plan)
            committed, totals = ledger.committed(), Totals()
            for record in ledger.records():
                totals.add(record)
            runner.run(plan, ledger.store.address, job.batch_size, committed, totals)
            stages, shards_now = runner.stages, len(plan.plan.shards) - len(committed)
            self._onlooker.publishes()
            records = list(ledger.records())
            self._publish(plan, records, runner)
        return self._finish(plan, records, runner.totals, stages, shards_now)

    @contextmanager
    def _runner(self, limits: Limits) -> Iterator[Runner]:
        request, crew = self._request, self._crew
        runner = Runner(
            lambda number: crew.hire(self._recipes[number]), crew.inbox, request.name, request.version,
            request.settings.devices, self._processes, limits, self._onlooker, request.settings.call_timeout_s,
            request.settings.retries,
        )  # fmt: skip
        try:
            yield runner
        finally:
            runner.close()

    def _publish(self, job: Job, records: list[Commit], runner: Runner) -> None:
        lines = [self._ledger.store.read(f"{job.name}/quarantine/{each.quarantine}") for each in records
                 if each.quarantine]  # fmt: skip
        store = self._output.store
        if lines:
            store.put(QUARANTINE, b"".join(line or b"" for line in lines))
        else:
            store.remove(QUARANTINE)
        parts = [{"file": r.part, "rows": r.rows, "bytes": r.bytes, "sha256": r.sha256} for r in records if r.part]
        manifest = {"job": job.name, "model": asdict(job.plan.identity), "inputs": [asdict(f) for f in job.data.files],
                    "rows": sum(r.rows for r in records), "quarantined": sum(r.quarantined for r in records),
                    "columns": next((r.schema for r in records if r.schema), ""), "parts": parts}  # fmt: skip
        names = [r.part for r in records if r.part]
        root = store.address
        self._output.publish(
            self._ledger, names, manifest, lambda path: runner.join(job, root, names, str(path)), self._held
        )

    def _finish(
        self, job: Job, records: list[Commit], totals: Totals, stages: dict[str, float], shards_now: int
    ) -> Report:
        identity, output, store = job.plan.identity, self._output, self._output.store
        seconds = time.monotonic() - self._began
        price = self._request.job.price_per_hour
        report = Report(
            out=output.target,
            rows=totals.rows,
            quarantined=totals.quarantined,
            scored_now=totals.scored_now,
            seconds=seconds,
            shards=len(records),
            shards_now=shards_now,
            bytes_in=sum(file.size for file in self._data.files),
            bytes_out=totals.bytes,
            processes=self._processes,
            crashes=totals.crashes,
            model={"name": identity.name, "version": identity.version, "digest": identity.artefact_digest},
            stages=stages,
            reasons=dict(totals.reasons),
            quarantine=store.where(QUARANTINE) if totals.quarantined else None,
            cost=None if price is None else seconds / 3600 * price,
        )
        store.put(REPORT, report.encoded())
        self._ledger.finish(report.to_dict())
        output.end(self._ledger, keep=bool(totals.quarantined))
        return report
