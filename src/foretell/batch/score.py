"""Scoring a data set from end to end: find out what is done, do the rest, put the output in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from foretell.backends.artefact_file import has_threads
from foretell.batch.crew import AnyCrew
from foretell.batch.diary import Diary
from foretell.batch.finished import as_done, file_size, unchanged
from foretell.batch.inputs import ROWS_ARE_FILES, find_inputs
from foretell.batch.job import Commit, Data, Job, ModelRef, Wish, differences, made_from, name_of
from foretell.batch.job_metrics import Metrics, metrics_of
from foretell.batch.ledger import Ledger
from foretell.batch.limits import Limits, TooManyBad
from foretell.batch.local_crew import crew_for
from foretell.batch.manning import Manning
from foretell.batch.messages import EmptyWritten, KeysChecked, WriteEmpty
from foretell.batch.model_mark import MOST_ROWS, bytes_of, mark_of, settings_for
from foretell.batch.output import CURRENT, QUARANTINE, Output
from foretell.batch.progress import Nobody, Onlooker
from foretell.batch.report import Duplicates, Outcome, Report
from foretell.batch.runner import Runner
from foretell.batch.sql.query import as_asked, asked_data, forget, whole
from foretell.batch.staffing import Staff, may_grow, staff
from foretell.batch.store import Held
from foretell.batch.terms import Terms
from foretell.batch.totals import Totals
from foretell.config import JobSettings, ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InferenceError, InvalidInput, InvalidSetting, Unavailable
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
    query: str | None = None
    """Where `data` is the address of a database."""

    @property
    def source(self) -> str | Path | None:
        """What tells the model in another process; None for a live object."""
        return self.model if isinstance(self.model, (str, Path)) else None

    @property
    def whereabouts(self) -> str | Path | None:
        """Where the data is looked for, among whatever else lies there; None where only what is meant is taken."""
        return None if isinstance(self.data, Data) or self.format in ROWS_ARE_FILES else self.data


def run(request: Request, output: Output, onlooker: Onlooker | None = None, crew: AnyCrew | None = None) -> Report:
    """Scores what is missing, and returns once the output stands where it belongs.

    Run again after any end, it goes on where it stopped; once all is done, it does nothing. Raises `InvalidInput` where
    model, data or settings are not those that began the job and `fresh` was not asked for, `Occupied` where another job
    writes to the same output, `TooManyBad`, and what loading the model raises. What is committed stays.
    """
    if crew is None:
        with crew_for(request.model, request.settings, request.name) as hired:
            return run(request, output, onlooker, hired)
    with metrics_of(request.job.metrics_file, request.name, request.version) as metrics:
        report = _run(request, output, Diary([onlooker or Nobody(), metrics]), crew, metrics)
        metrics.ended(report)
    return report


def _run(request: Request, output: Output, diary: Diary, crew: AnyCrew, metrics: Metrics) -> Report:
    output.check_free(fresh=request.fresh)
    data = _data(request)
    output.check_apart(request.whereabouts, data)
    parts = made_from(data, request.wish, mark_of(request.source, request.settings, request.name, request.version))
    with output.store.lock(str(output)) as held:
        metrics.runs()
        ledger = _ledger(output, request, parts, data)
        done = ledger.finished()
        if done is not None and output.published(ledger.name):
            if not (request.retry and done.get("quarantined")):
                if not done.get("quarantined"):
                    forget(data, ledger)
                return unchanged(done, request.job, output)
            request = replace(request, job=as_done(request.job, done))
            ledger.reopen()
        ledger.unfinish()
        ledger.check_parts()
        return _Run(request, output, ledger, data, parts, diary, crew, held).report()


def _data(request: Request) -> Data:
    if isinstance(request.data, Data):
        return as_asked(request.data)
    asked = asked_data(request.data, request.query, request.format, request.options)
    if asked is not None:
        return asked
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


def _reference(request: Request) -> ModelRef:
    source = request.source
    if source is None:
        return ModelRef("", False, request.name, request.version)
    settings = asdict(request.settings)
    return ModelRef(str(source), isinstance(source, Path), request.name, request.version, settings,
                    request.folder or str(Path.cwd()))  # fmt: skip


def _manning(request: Request) -> Manning:
    """Raises `InvalidSetting` for a limit of memory that cannot be kept, and for processes that a live object cannot
    have."""
    job, cores = request.job, usable_cores()
    if request.source is None:
        if job.processes not in (None, 1):
            fix = "leave it out, or name the model by its path or module"
            raise InvalidSetting("a live object is scored in this process", got=f"processes={job.processes}", fix=fix)
        return Manning(Staff(1, 0, 1), cores, job.memory, grows=False)
    size = bytes_of(request.source)
    hands = staff(job.processes, cores, request.settings.devices, size, job.memory)
    return Manning(hands, cores, job.memory, grows=may_grow(job.processes, size))


def _recipes(request: Request, source: str | Path, cores: int) -> Iterator[Recipe]:
    """How the model is loaded on each device, with so many threads for a call where that can be chosen."""
    threads = request.settings.shared_threads(cores) if has_threads(source) else 0
    most = request.job.batch_size or MOST_ROWS
    for device in request.settings.devices:
        recipe = Recipe.of(source, settings_for(request.settings, device, threads, most), name=request.name)
        yield replace(recipe, folder=request.folder or recipe.folder)


class _Run:
    def __init__(
        self,
        request: Request,
        output: Output,
        ledger: Ledger,
        data: Data,
        parts: dict[str, str],
        diary: Diary,
        crew: AnyCrew,
        held: Held,
    ) -> None:
        self._request, self._output, self._ledger, self._data = request, output, ledger, data
        self._parts, self._diary, self._crew, self._held = parts, diary, crew, held
        self._plan: Job | None = None
        # Keys that the source gives by itself are different ones anyway.
        named = bool(request.wish.keys) and data.kind not in ROWS_ARE_FILES
        self._checks_keys = request.job.check_keys and named
        self._duplicates: Duplicates | None = None
        self._recipes: list[Recipe | None] = [None]
        self._manning = _manning(request)
        if request.source is not None:
            self._recipes = list(_recipes(request, request.source, self._manning.threads))
            crew.keep(self._manning.processes)

    def report(self) -> Report:
        try:
            return self._done()
        except Unavailable:
            raise  # where the output belongs nothing can be written, or it is another job's
        except (InferenceError, KeyboardInterrupt) as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            with suppress(InferenceError):  # what stopped the job is what matters
                self._tell(list(self._ledger.records()), "interrupted" if interrupted else "stopped",
                           "" if interrupted else str(error))  # fmt: skip
            raise

    def _done(self) -> Report:
        request, ledger, job = self._request, self._ledger, self._request.job
        address = None if isinstance(request.data, Data) else str(request.data)
        self._data = whole(self._data, address, ledger, request.wish.keys, self._diary.queried)
        limits = Limits(job.max_quarantined, job.max_crashes, job.row_attempts)
        with self._runner(limits) as runner:
            plan = ledger.job()
            if plan is not None:
                plan = replace(plan, data=self._data)  # the rows of a query lie where the output lies now
            else:
                made = runner.plan(self._data, request.wish)
                plan = Job(ledger.name, self._parts, self._data, request.wish, made, _reference(request))
                ledger.begin(plan)
            self._plan = plan
            committed, totals = ledger.committed(), Totals(keys=plan.plan.keys)
            for record in ledger.records():
                totals.add(record)
            try:
                runner.run(plan, ledger.store.address, committed, totals)
            except TooManyBad:
                self._put_aside(plan, list(ledger.records()))
                raise
            records = list(ledger.records())
            if self._checks_keys:
                from foretell.batch.keys.search import duplicates  # nothing at the start of a job needs it

                have = None if request.retry else lambda tasks: runner.have_done(tasks, KeysChecked)
                self._duplicates = duplicates(plan, ledger, records, have, self._diary.checks_keys)
            parts = [record for record in records if record.part]
            if not parts:
                (empty,) = runner.have_done([WriteEmpty()], EmptyWritten)
                parts = [empty.part] if empty.part is not None else []
            self._diary.publishes()
            runner.dismiss()
            self._publish(plan, records, parts)
        report = self._tell(records, "done")
        ledger.finish({**report.summary(), "file_size": file_size(request.job, self._output)})
        self._output.end(ledger, keep=bool(report.quarantined))
        if not report.quarantined:
            forget(self._data, ledger)
        return report

    @contextmanager
    def _runner(self, limits: Limits) -> Iterator[Runner]:
        request, crew = self._request, self._crew
        settings, batch_size = request.settings, request.job.batch_size
        terms = Terms(request.name, request.version, settings.devices, limits, settings.call_timeout_s,
                      settings.retries, batch_size, self._checks_keys)  # fmt: skip
        runner = Runner(lambda number: crew.hire(self._recipes[number]), crew.inbox, terms, self._manning, self._diary)
        try:
            yield runner
        finally:
            runner.close()

    def _publish(self, job: Job, records: list[Commit], parts: list[Commit]) -> None:
        self._put_aside(job, records)
        manifest = {"job": job.name, "model": asdict(job.plan.identity), "inputs": [asdict(f) for f in job.data.files],
                    "rows": sum(r.rows for r in records), "quarantined": sum(r.quarantined for r in records),
                    "columns": next((r.schema for r in parts), "")}  # fmt: skip
        self._output.publish(self._ledger, parts, manifest, self._held, file_size(self._request.job, self._output))

    def _put_aside(self, job: Job, records: list[Commit]) -> None:
        """Writes down the rows without an answer, of all shards that are done."""
        lines = [self._ledger.store.read(f"{job.name}/quarantine/{each.quarantine}") for each in records
                 if each.quarantine]  # fmt: skip
        store = self._output.store
        if lines:
            store.put(QUARANTINE, b"".join(line or b"" for line in lines))
        else:
            store.remove(QUARANTINE)

    def _tell(self, records: list[Commit], outcome: Outcome, error: str = "") -> Report:
        from foretell.batch.ending import put, report_of  # nothing at the start of a job needs it

        request, ledger = self._request, self._ledger
        report = report_of(
            self._output, ledger, self._plan, self._data, self._diary, records, name=request.name,
            version=request.version, memory=self._manning.peak_bytes, price=request.job.price_per_hour,
            outcome=outcome, error=error, duplicates=self._duplicates,
        )  # fmt: skip
        put(self._output, report)
        return report
