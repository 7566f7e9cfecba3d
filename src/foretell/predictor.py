"""`Predictor`: predictions in this process, over one engine."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from foretell.backends import open_model
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.ahead import rows_per_call, run_ahead
from foretell.engine.engine import Engine
from foretell.engine.replica import Prepared, join_answers
from foretell.errors import InferenceError, InvalidInput, InvalidSetting, ModelError, RowError
from foretell.forms import Form, Intake, chunks, count_rows, from_batch, is_single, join, to_batch
from foretell.hooked import HookedModel
from foretell.model import Model
from foretell.observe.process import process_memory
from foretell.observe.stats import Stats
from foretell.options import read_options
from foretell.types import Identity, ModelSpec

OnRowError = Callable[[int, RowError], None]
_PROBE_ROWS = 64


class BasePredictor:
    """A model, and the hooks around it. Subclass it to change any of the steps of a prediction.

    `predict(x)` is `postprocess(model(preprocess(x)))`; `_optimize_model` may replace `self.model` before it is
    opened. Hooks get what the caller passed (a chunk of it in `predict_batch`); through a server they get arrays or
    lists of strings. Every failure is an `InferenceError` with its cause. Options: see `Predictor`.
    """

    def __init__(self, model: object, config: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.model = model
        self.config = dict(config or {})
        self._options = read_options(config, options)
        if self._options.optimize is not False and self.overrides("_optimize_model"):
            self.model = self._guarded("_optimize_model", self._optimize_model) or self.model
        opened = open_model(self.model, self._options.model, example=self._options.example)
        self.optimizations: tuple[str, ...] = opened.passes
        """The optimisations that are applied."""
        if self._options.optimize and not opened.passes and not self.overrides("_optimize_model"):
            kind = f"{opened.framework} model {opened.name!r}"
            warnings.warn(f"{kind}: there is no optimisation for it here; it runs as it is", stacklevel=3)
        self._stats = Stats()
        self._engine = Engine(
            opened.model,
            self._options.model,
            name=self._options.name or opened.name,
            version=self._options.version,
            digest=opened.digest,
            recorder=self._stats,
        ).load()

    def _optimize_model(self) -> object:
        """Hook: gives the model to run in place of `self.model`."""
        return self.model

    def preprocess(self, data: Any) -> Any:
        """Hook: from what the caller passed to what the model takes."""
        return data

    def postprocess(self, outputs: Any) -> Any:
        """Hook: from the model's outputs to what the caller gets."""
        return outputs

    def predict(self, data: Any) -> Any:
        """The answer for a row, or for rows, in the form of `data` under the model's output names.

        Raises `InvalidInput` for data that does not fit (with `rows`, where only some rows do not), `ModelError`,
        `DeadlineExceeded`. See `foretell.forms` for the forms and for what counts as one row.
        """
        ready = self._guarded("preprocess", self.preprocess, data)
        return self._guarded("postprocess", self.postprocess, self._infer(ready))

    def predict_batch(
        self,
        data: Any,
        batch_size: int | None = None,
        num_workers: int | None = None,
        on_row_error: OnRowError | None = None,
    ) -> Any:
        """Like `predict`, for much data: in calls of `batch_size` rows, the host work of the next ones running ahead.

        `num_workers` threads pre-process ahead of the model (0: none); at most that many chunks and one more are in
        memory. `data` may be an iterator of rows or of blocks of rows: the result then is an iterator with one
        answer for each item, in order, computed as it is drawn. `on_row_error(row, error)` is told of each row that
        has no answer, whose place then holds a null; without it such a row raises.
        """
        size, workers = self._job(batch_size, num_workers, data)
        if hasattr(data, "__next__"):
            return self._answers_of(data, size or _PROBE_ROWS * 16, workers, on_row_error)
        if self._is_one(data):
            return self.predict(data)
        size = size or self._size_for(data)
        if (count_rows(data, ModelSpec()) or 0) <= size:
            workers = 0  # one call: there is nothing to run ahead of
        if self.overrides("predict"):
            parts = list(run_ahead(chunks(data, size), lambda c: self._guarded("predict", self.predict, c), workers))
            return join(parts, to_batch(next(chunks(data, 1)), ModelSpec()).form)
        return self._predict_chunks(data, size, workers, on_row_error)

    async def apredict(self, data: Any) -> Any:
        """`predict` for asyncio: concurrent calls share the model's batches. Cancelling it leaves the queue."""
        if self.overrides("predict"):
            return await asyncio.to_thread(self._guarded, "predict", self.predict, data)
        ready = await self._hook("preprocess", self.preprocess, data)
        intake = to_batch(ready, self.spec)
        answer = await self._engine.infer(intake.batch)
        return await self._hook("postprocess", self.postprocess, self._outgoing(answer, intake))

    async def apredict_batch(
        self,
        data: Any,
        batch_size: int | None = None,
        num_workers: int | None = None,
        on_row_error: OnRowError | None = None,
    ) -> Any:
        """`predict_batch` for asyncio, off the loop; for an iterator, an asynchronous iterator of answers."""
        result = await asyncio.to_thread(self.predict_batch, data, batch_size, num_workers, on_row_error)
        return _drawn_in_threads(result) if hasattr(data, "__next__") else result

    __call__ = predict

    @property
    def spec(self) -> ModelSpec:
        """Inputs and outputs of the model itself, as far as they are known."""
        return self._engine.spec

    @property
    def identity(self) -> Identity:
        return self._engine.identity

    def stats(self) -> dict[str, Any]:
        """What happened so far: counts, latency percentiles (ms, per call), throughput, memory, cache, device."""
        stats, elapsed = self._stats, self._stats.total_s
        shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
        latency = {name: _ms(elapsed.percentile(share)) for name, share in shares.items()}
        lasted = stats.last_s - stats.first_s if stats.first_s is not None else 0.0
        return {
            "requests": stats.requests,
            "rows": stats.rows,
            "errors": dict(stats.failures),
            "latency_ms": {**latency, "mean": _ms(elapsed.total / stats.requests if stats.requests else None)},
            "throughput_rows_s": stats.throughput_rows_s(),
            "memory": process_memory(),
            "cache": {"hits": stats.cache_hits, "misses": stats.cache_misses, "rows": self._engine.cached_rows},
            "device": {
                "name": self._options.model.device,
                "busy_share": min(1.0, stats.busy_s / lasted) if lasted else None,
            },
            "optimizations": list(self.optimizations),
        }

    def close(self) -> None:
        """Gives back the model's resources; later calls raise `NotReady`."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def overrides(self, hook: str) -> bool:
        """Whether a subclass changes this hook."""
        return getattr(type(self), hook) is not getattr(BasePredictor, hook)

    def __foretell_model__(self, settings: ModelSettings) -> Model:
        """For the doors: this predictor as a model, its hooks included."""
        return HookedModel(self, self._engine.model)

    def _infer(self, data: Any) -> Any:
        intake = to_batch(data, self.spec)
        batch = intake.batch
        size = self._options.job.batch_size or rows_per_call(_row_bytes(batch))
        if batch.rows <= size:
            answer = self._engine.run(batch)
        else:
            pieces = (batch.slice(at, at + size) for at in range(0, batch.rows, size))
            answer = join_answers([self._engine.run(piece) for piece in pieces])
        return self._outgoing(answer, intake)

    def _outgoing(self, answer: Batch, intake: Intake) -> Any:
        if answer.errors:
            raise _rows_failed(answer.errors)
        return self._formed(answer, intake.form, intake.single)

    def _formed(self, answer: Batch, form: Form, single: bool) -> Any:
        return from_batch(answer, form, single=single, bare=self._engine.model.bare_output, spec=self.spec)

    def _predict_chunks(self, data: Any, size: int, workers: int, on_row_error: OnRowError | None) -> Any:
        parts, form, at = [], None, 0
        for intake, prepared in run_ahead(chunks(data, size), self._prepare, workers):
            answer = self._engine.finish(prepared)
            _report(answer, at, on_row_error)
            at += answer.rows
            form = form or intake.form
            parts.append(self._guarded("postprocess", self.postprocess, self._formed(answer, intake.form, False)))
        if form is None:
            raise InvalidInput("there is no data")
        return join(parts, form)

    def _answers_of(
        self, items: Iterator[Any], size: int, workers: int, on_row_error: OnRowError | None
    ) -> Iterator[Any]:
        """One answer for each item; single rows travel together, `size` at a time."""
        at = 0
        if self.overrides("predict"):
            yield from run_ahead(items, lambda item: self._guarded("predict", self.predict, item), workers)
            return
        for (intake, prepared), rows_apart in run_ahead(self._blocks(items, size), self._prepare_block, workers):
            answer = self._engine.finish(prepared)
            _report(answer, at, on_row_error)
            at += answer.rows
            if not rows_apart:
                formed = self._formed(answer, intake.form, intake.single)
                yield self._guarded("postprocess", self.postprocess, formed)
                continue
            for row in range(answer.rows):
                formed = self._formed(answer.slice(row, row + 1), intake.form, True)
                yield self._guarded("postprocess", self.postprocess, formed)

    def _blocks(self, items: Iterator[Any], size: int) -> Iterator[tuple[Any, bool]]:
        """Items as they are, single rows gathered into lists; True where a list was gathered."""
        gathered: list[Any] = []
        for item in items:
            if self._is_one(item) and not self.overrides("preprocess"):
                gathered.append(item)
                if len(gathered) < size:
                    continue
                yield gathered, True
                gathered = []
                continue
            if gathered:
                yield gathered, True
                gathered = []
            yield item, False
        if gathered:
            yield gathered, True

    def _prepare_block(self, block: tuple[Any, bool]) -> tuple[tuple[Intake, Prepared | Batch], bool]:
        return self._prepare(block[0]), block[1]

    def _prepare(self, chunk: Any) -> tuple[Intake, Prepared | Batch]:
        intake = to_batch(self._guarded("preprocess", self.preprocess, chunk), self.spec)
        return intake, self._engine.prepare(intake.batch)

    def _is_one(self, data: Any) -> bool:
        spec = ModelSpec() if self.overrides("preprocess") or self.overrides("predict") else self.spec
        return is_single(data, spec)

    def _job(self, batch_size: int | None, num_workers: int | None, data: Any) -> tuple[int | None, int]:
        for name, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
            if value is not None and (type(value) is not int or value < least):
                raise InvalidSetting(f"{name} is out of range", expected=f"{least} or more", got=repr(value))
        job = self._options.job
        workers = num_workers if num_workers is not None else job.num_workers
        if workers is None:
            host_work = (
                self.overrides("preprocess")
                or type(self._engine.model).preprocess is not Model.preprocess
                or hasattr(data, "__next__")
            )
            workers = min(2, os.cpu_count() or 1) if host_work else 0
        return batch_size or job.batch_size, workers

    def _size_for(self, data: Any) -> int:
        """Rows of a call for data whose rows are about as large as the first ones."""
        if self.overrides("preprocess") or self.overrides("predict"):
            return _PROBE_ROWS
        sample = to_batch(next(chunks(data, _PROBE_ROWS)), self.spec).batch
        rows = rows_per_call(_row_bytes(sample))
        return min(rows, count_rows(data, self.spec) or rows) or 1

    async def _hook(self, name: str, hook: Callable[[Any], Any], value: Any) -> Any:
        if not self.overrides(name):
            return value
        return await asyncio.to_thread(self._guarded, name, hook, value)

    def _guarded(self, name: str, hook: Callable[..., Any], *args: Any) -> Any:
        try:
            return hook(*args)
        except InferenceError:
            raise
        except Exception as error:
            where = f"{type(self).__name__}.{name}"
            raise ModelError(f"{type(error).__name__}: {error}", where=where) from error


class Predictor(BasePredictor):
    """Predictions from a path, a live object (callable, scikit-learn estimator, `Model`) or "module:Class".

    Options, as keywords or in `config`: `batch_size`, `num_workers`, `device`, `precision`, `optimize` (or
    `optimize_model`; False switches the runtime's own passes off, too), `optimizations` (exactly these passes),
    `threads`, `timeout_s`, `retries`, `retry_delay_s`, `retry_max_delay_s`, `cache_size` (rows), `cache_ttl_s`,
    `max_queue_size`, `pad`, `batch`, `warm_up`, `trust`, `allow_pickle`, `sha256`, `example`, `name`, `version`.
    An unknown option, device, precision or pass is an error that says what there is; none is ignored.

    Safe from any thread. `with Predictor(...) as p:` closes it at the end.
    """


def _report(answer: Batch, at: int, on_row_error: OnRowError | None) -> None:
    if answer.errors:
        errors = {at + row: error for row, error in sorted(answer.errors.items())}
        if on_row_error is None:
            raise _rows_failed(errors)
        for row, error in errors.items():
            on_row_error(row, error)


def _rows_failed(errors: Mapping[int, RowError]) -> InferenceError:
    first = min(errors)
    more = f" (and {len(errors) - 1} more rows, see .rows)" if len(errors) > 1 else ""
    kind = InvalidInput if errors[first].code == InvalidInput.code else ModelError
    error = kind(errors[first].message + more, where=f"row {first}")
    error.rows = errors
    return error


def _row_bytes(batch: Batch) -> int:
    return sum(column_bytes(column) for column in batch.columns.values()) // max(1, batch.rows)


def column_bytes(column: Any) -> int:
    """Bytes of a column's values, about."""
    data = getattr(column, "data", None)
    return int(data.nbytes) if data is not None else column_bytes(column.values)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


async def _drawn_in_threads(items: Iterator[Any]) -> AsyncIterator[Any]:
    end = object()
    while (item := await asyncio.to_thread(next, items, end)) is not end:
        yield item
