"""Scoring a data set from end to end: find out what is done, do the rest, put the output in its place."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from foretell.backends.artefact_file import has_threads
from foretell.batch.crew import AnyCrew
from foretell.batch.inputs import find_inputs
from foretell.batch.job import Commit, Data, Job, ModelRef, Wish, differences, made_from, name_of
from foretell.batch.ledger import Ledger
from foretell.batch.limits import Limits, TooManyBad
from foretell.batch.local_crew import crew_for
from foretell.batch.model_mark import MOST_ROWS, mark_of, settings_for
from foretell.batch.output import CURRENT, QUARANTINE, REPORT, Output
from foretell.batch.progress import Nobody, Onlooker
from foretell.batch.report import Report
from foretell.batch.runner import Runner, Totals
from foretell.batch.store import Held
from foretell.config import JobSettings, ModelSettings, usable_cores
from foretell.errors import InvalidInput
from foretell.remote.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be scored, by what, and where to.

    `model`: a path or "module:Class"; a live object is scored in this process. `data`: `Data` where its files are known
    already. `folder`: where the names of modules are looked up; "": here. `retry`: the shards of a finished job that
    have rows without an answer, once more.
    """

    model: object
    name: str
    version: str
    settings: ModelSettings
    data: str | Path | Data
    wish: Wish
    job: JobSettings
    format: str | None = None
    fresh: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the source, see its class."""
    folder: str = ""
    retry: bool = False

    @property
    def source(self) -> str | Path | None:
        """What tells the model in another process; None for a live object."""
        return self.model if isinstance(self.model, (str, Path)) else None


def run(request: Request, output: Output, onlooker: Onlooker | None = None, crew: AnyCrew | None = None) -> Report:
    """Scores what is missing, and returns once the output stands where it belongs.

    Run again after any end, it goes on where it stopped; once all is done, it does nothing. Raises `InvalidInput` where
    model, data or settings are not those that began the job and `fresh` was not asked for, `Occupied` where another job
    writes to the same output, `TooManyBad`, and what loading the model raises. What is committed stays.
    """
    if crew is None:
        with crew_for(request.model, request.settings, request.name) as hired:
            return run(request, output, onlooker, hired)
    began = time.monotonic()
    output.check_free(fresh=request.fresh)
    data = _data(request)
    parts = made_from(data, request.wish, mark_of(request.source, request.settings, request.name, request.version))
    with output.store.lock(str(output)) as held:
        ledger = _ledger(output, request, parts, data)
        done = ledger.finished()
        if done is not None and output.published(ledger.name):
            if not (request.retry and done.get("quarantined")):
                return _unchanged(done)
            output.reopen(ledger, ledger.reopen())
        ledger.unfinish()
        return _Run(request, output, ledger, data, parts, onlooker or Nobody(), crew, held, began).report()


def _data(request: Request) -> Data:
    if isinstance(request.data, Data):
        return request.data
    kind, files = find_inputs(request.data, request.format)
    return Data(kind, tuple(files), request.options)


def again(output: Output, job: JobSettings) -> Request:
    """The job that this output is of, so that its rows without an answer are scored once more.

    Raises `InvalidInput` where there is none, and where its model was a live object.
    """
    known = (output.store.read(CURRENT) or b"").decode().strip()
    begun = Ledger(output.store, known).job() if known else None
    if begun is None:
        raise InvalidInput("no job of foretell has made this", where=str(output), expected="the output of a job")
    model = begun.model
    if not model.source:
        fix = "call foretell.score with it again, and retry=True"
        raise InvalidInput("the model of this job was a live object", where=str(output), fix=fix)
    settings = msgspec.convert(dict(model.settings), ModelSettings, strict=False)
    source = Path(model.source) if model.is_path else model.source
    return Request(source, model.name, model.version, settings, begun.data, begun.wish, job, folder=model.folder,
                   retry=True)  # fmt: skip


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


def _reference(request: Request) -> ModelRef:
    source = request.source
    if source is None:
        return ModelRef("", False, request.name, request.version)
    settings = asdict(request.settings)
    return ModelRef(str(source), isinstance(source, Path), request.name, request.version, settings,
                    request.folder or str(Path.cwd()))  # fmt: skip


class _Run:
    def __init__(
        self,
        request: Request,
        output: Output,
        ledger: Ledger,
        data: Data,
        parts: dict[str, str],
        onlooker: Onlooker,
        crew: AnyCrew,
        held: Held,
        began: float,
    ) -> None:
        self._request, self._output, self._ledger, self._data = request, output, ledger, data
        self._parts, self._onlooker, self._crew, self._held, self._began = parts, onlooker, crew, held, began
        devices = request.settings.devices
        cores = usable_cores()
        self._recipes: list[Recipe | None] = [None]
        self._processes = 1
        if request.source is not None:
            self._processes = request.job.processes or (cores if devices[0] == "cpu" else len(devices))
            threads = max(1, cores // self._processes) if has_threads(request.source) else 0
            most = request.job.batch_size or MOST_ROWS
            each = [settings_for(request.settings, device, threads, most) for device in devices]
            recipes = [Recipe.of(request.source, settings, name=request.name) for settings in each]
            self._recipes = [replace(recipe, folder=request.folder or recipe.folder) for recipe in recipes]

    def report(self) -> Report:
        request, ledger, job = self._request, self._ledger, self._request.job
        limits = Limits(job.max_quarantined, job.max_crashes, job.row_attempts)
        with self._runner(limits) as runner:
            plan = ledger.job()
            if plan is None:
                made = runner.plan(self._data, request.wish)
                plan = Job(ledger.name, self._parts, self._data, request.wish, made, _reference(request))
                ledger.begin(plan)
            committed, totals = ledger.committed(), Totals()
            for record in ledger.records():
                totals.add(record)
            try:
                runner.run(plan, ledger.store.address, job.batch_size, committed, totals)
            except TooManyBad:
                self._put_aside(plan, list(ledger.records()))
                raise
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
        self._put_aside(job, records)
        store = self._output.store
        parts = [{"file": r.part, "rows": r.rows, "bytes": r.bytes, "sha256": r.sha256} for r in records if r.part]
        manifest = {"job": job.name, "model": asdict(job.plan.identity), "inputs": [asdict(f) for f in job.data.files],
                    "rows": sum(r.rows for r in records), "quarantined": sum(r.quarantined for r in records),
                    "columns": next((r.schema for r in records if r.schema), ""), "parts": parts}  # fmt: skip
        names = [r.part for r in records if r.part]
        root = store.address
        self._output.publish(
            self._ledger, names, manifest, lambda path: runner.join(job, root, names, str(path)), self._held
        )

    def _put_aside(self, job: Job, records: list[Commit]) -> None:
        """Writes down the rows without an answer, of all shards that are done."""
        lines = [self._ledger.store.read(f"{job.name}/quarantine/{each.quarantine}") for each in records
                 if each.quarantine]  # fmt: skip
        store = self._output.store
        if lines:
            store.put(QUARANTINE, b"".join(line or b"" for line in lines))
        else:
            store.remove(QUARANTINE)

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
