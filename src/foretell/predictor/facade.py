"""`Predictor`: predictions in this process, over one engine."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from dataclasses import asdict, replace
from functools import partial, wraps
from types import TracebackType
from typing import Any, Self

from foretell.backends.model_settings import refuse_tuning
from foretell.backends.opened import refuse_idle_permissions
from foretell.columns import Batch, copied, row_bytes
from foretell.config import ModelSettings
from foretell.engine.ahead import Threads, rows_per_call, threads_for
from foretell.engine.engine import Engine
from foretell.errors import InferenceError, InvalidInput, InvalidSetting, ModelError, rows_failed
from foretell.forms import Form, Intake, count_rows, from_batch, is_single, to_batch
from foretell.model import Model
from foretell.observe.process import process_memory
from foretell.observe.stats import Stats
from foretell.observe.summary import cache_summary, summary
from foretell.predictor.chunked import ROWS_OF_UNKNOWN_SIZE, OnRowError, Run, size_for
from foretell.predictor.forked import same, watch_forks
from foretell.predictor.hooked import HookedModel
from foretell.predictor.options import read_options, whole
from foretell.predictor.streaming import drawn_in_threads, stream
from foretell.predictor.unclosed import closed_with
from foretell.remote.opening import open_any
from foretell.types import Identity, ModelSpec


class BasePredictor:
    """A model, and the hooks around it. Subclass it to change any of the steps of a prediction.

    `predict(x)` is `postprocess(model(preprocess(x)))`; `_optimize_model` may replace `self.model` before it is
    opened. Hooks get what the caller passed (a chunk of it in `predict_batch`); through a server they get arrays or
    lists of strings; a subclass may declare `inputs`, `outputs` and `labels` for them, as any Python model may.
    Every failure is an `InferenceError` with its cause. Options: see `Predictor`.
    """

    def __init__(self, model: object, config: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.model = model
        self.config = dict(config or {})
        self._options = read_options(config, options)
        if self._options.optimize is not False and self.overrides("_optimize_model"):
            optimized = self.guarded("_optimize_model", self._optimize_model)
            self.model = self.model if optimized is None else optimized
        self._stats = Stats()
        self.optimizations: tuple[str, ...] = ()
        """The optimisations that are applied."""
        self.engine = self.opened_engine()
        watch_forks(self)
        if self._options.optimize and not self.optimizations and not self.overrides("_optimize_model"):
            what = "there is no optimisation for it here; it runs as it is"
            warnings.warn(f"model {self.engine.name!r}: {what}", stacklevel=2)

    def opened_engine(self) -> Engine:
        """An engine of the model, loaded. Raises what opening and loading raise."""
        given = self._options
        opened, again = open_any(self.model, given.model, given.name, given.example)
        refuse_idle_permissions(asdict(given.model), [opened])
        engine = Engine(
            opened.model, given.model, name=given.name or opened.name, version=given.version, digest=opened.digest,
            recorder=self._stats, again=again,
        ).load()  # fmt: skip
        if again is not None:  # a live object stays its owner's
            closed_with(self, engine)
        self._ours = type(opened.model).__module__.startswith("foretell.")
        self.optimizations = opened.passes + tuple(each.name for each in engine.model.trials if each.kept)
        return engine

    def __getstate__(self) -> dict[str, Any]:
        """For a copy, or for another process, which opens the model by itself."""
        return {**self.__dict__, "engine": self.identity, "_stats": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises what opening the model raises, and `InvalidModel` where it has become another since."""
        self.__dict__.update(state, _stats=Stats())
        self.engine = same(self.opened_engine(), state["engine"])
        watch_forks(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A subclass's own `predict` raises `InferenceError`s like ours, however it is called."""
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("predict")
        if own is not None:

            @wraps(own)
            def predict(self: BasePredictor, *args: Any, **kwargs: Any) -> Any:
                return self.guarded("predict", partial(own, self, **kwargs), *args)

            cls.predict = predict  # type: ignore[method-assign]

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
        ready = self.guarded("preprocess", self.preprocess, data)
        return self.guarded("postprocess", self.postprocess, self._infer(ready))

    def predict_batch(
        self,
        data: Any,
        batch_size: int | None = None,
        num_workers: int | None = None,
        on_row_error: OnRowError | None = None,
    ) -> Any:
        """Like `predict`, for much data: in calls of `batch_size` rows, the host work of the next ones running ahead.

        `num_workers` threads pre-process ahead of the model (0: none); at most that many chunks and one more are in
        memory. Not set, it suits the model; where several calls at a time answer more, those threads make them, too.
        `data` may be an iterator of rows or of blocks of rows: the result then is an iterator with one
        answer for each item, in order, computed as it is drawn. `on_row_error(row, error)` is told of each row that
        has no answer, whose place then holds a null; without it such a row raises.
        """
        size = whole("batch_size", batch_size, 1) or self._options.job.batch_size
        threads = self._threads(whole("num_workers", num_workers, 0), data)
        if on_row_error is not None and self.overrides("predict"):
            what = f"on_row_error cannot see into the predict of {type(self).__name__}"
            raise InvalidSetting(what, fix="override preprocess and postprocess instead, or leave on_row_error out")
        if hasattr(data, "__next__"):
            return Run(self, size or ROWS_OF_UNKNOWN_SIZE, threads, on_row_error).of_items(data)
        if self.is_one(data):
            return Run(self, 1, Threads(), on_row_error).of_one(data)
        size = size or size_for(self, data, threads)
        if (count_rows(data, ModelSpec()) or 0) <= size:
            threads = Threads()  # one call: there is nothing to run ahead of
        return Run(self, size, threads, on_row_error).of_rows(data)

    async def apredict(self, data: Any) -> Any:
        """`predict` for asyncio: concurrent calls share the model's batches. Cancelling it leaves the queue."""
        if self.overrides("predict"):
            return await asyncio.to_thread(self.guarded, "predict", self.predict, data)
        ready = await self._hook("preprocess", self.preprocess, data)
        intake = self.asked(ready)
        answer = await self.engine.infer(intake.batch)
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
        return drawn_in_threads(result) if isinstance(result, Generator) else result

    def stream(self, data: Any) -> Generator[Any]:
        """The answer of a model that streams, item by item, each in the form of `data`; computed little ahead of who
        draws. Closing it ends the model's generator. Raises like `predict`, in the place of the next item; `timeout_s`
        holds for the whole stream.
        """
        return stream(self, data)

    def astream(self, data: Any) -> AsyncIterator[Any]:
        """`stream` for asyncio, off the loop."""
        return drawn_in_threads(stream(self, data))

    def __call__(self, data: Any) -> Any:
        """`predict`."""
        return self.predict(data)

    @property
    def spec(self) -> ModelSpec:
        """Inputs and outputs of the model itself, as far as they are known."""
        return self.engine.spec

    @property
    def identity(self) -> Identity:
        return self.engine.identity

    def stats(self) -> dict[str, Any]:
        """What happened so far: counts, latency percentiles (ms, per call), throughput, memory, cache, device."""
        return {
            **summary(self._stats, self._options.model.device),
            "memory": process_memory(),
            "cache": cache_summary(self._stats, self.engine.cached_rows),
            "optimizations": list(self.optimizations),
            "trials": [asdict(each) for each in self.engine.model.trials],
        }

    def close(self) -> None:
        """Gives back the model's resources; later calls raise `NotReady`."""
        self.engine.close()

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
        """For the doors: this predictor as a model, its hooks included. Raises for settings that come too late."""
        refuse_tuning(settings, "a predictor")
        if settings.batch is not None or settings.pad is not None:
            raise InvalidSetting("batch and pad are options of the predictor itself", fix="give them to the predictor")
        return HookedModel(self, self.engine.model, self._options.model.device)

    def _infer(self, data: Any) -> Any:
        intake = self.asked(data)
        batch = intake.batch
        size = self._options.job.batch_size or rows_per_call(row_bytes(batch))
        if batch.rows <= size or not self.splits:
            answer = self.engine.run(batch)
        else:
            pieces = (batch.slice(at, at + size) for at in range(0, batch.rows, size))
            answer = self.engine.join([self.engine.run(piece) for piece in pieces])
        return self._outgoing(answer, intake)

    @property
    def splits(self) -> bool:
        """Whether rows of one call may as well be answered in several."""
        return self.spec.row_wise and not self.spec.stateful

    def intake(self, data: Any) -> Intake:
        """The rows of `data` as the model takes them. Raises `InvalidInput`."""
        try:
            intake = to_batch(data, self.spec)
        except InferenceError:
            raise
        except Exception as error:
            raise _unreadable(error) from error
        # A model of somebody else's may write into its input, or give it back: the caller's memory is no part of it.
        return intake if self._ours else replace(intake, batch=copied(intake.batch))

    def asked(self, data: Any) -> Intake:
        try:
            return self.intake(data)
        except InferenceError as error:
            self._stats.failed(error.code)  # it never reaches the engine, which counts the others
            raise

    def _outgoing(self, answer: Batch, intake: Intake) -> Any:
        if answer.errors:
            raise rows_failed(answer.errors)
        return self.formed(answer, intake.form, intake.single)

    def formed(self, answer: Batch, form: Form, single: bool) -> Any:
        """An answer of the engine in the form of the question."""
        try:
            return from_batch(answer, form, single=single, bare=self.engine.model.bare_output, spec=self.spec)
        except InferenceError:
            raise
        except Exception as error:
            what = f"the answer cannot be given as {form.kind.value}: {type(error).__name__}: {error}"
            raise ModelError(what, where=f"model {self.engine.name!r}") from error

    def is_one(self, data: Any) -> bool:
        """Whether `predict` takes `data` as a single row."""
        spec = ModelSpec() if self.overrides("preprocess") or self.overrides("predict") else self.spec
        try:
            return is_single(data, spec)
        except InferenceError:
            raise
        except Exception as error:
            raise _unreadable(error) from error

    def _threads(self, num_workers: int | None, data: Any) -> Threads:
        named = self._options.job.num_workers if num_workers is None else num_workers
        host_work = self.overrides("preprocess") or hasattr(data, "__next__")
        calls = not self.overrides("predict")  # which nobody has said to be safe from any thread
        return threads_for(self.engine.model, self.engine.settings, named, host_work=host_work, calls=calls)

    async def _hook(self, name: str, hook: Callable[[Any], Any], value: Any) -> Any:
        if not self.overrides(name):
            return value
        return await asyncio.to_thread(self.guarded, name, hook, value)

    def guarded(self, name: str, hook: Callable[..., Any], *args: Any) -> Any:
        """What `hook(*args)` gives; its failures as `InferenceError`s with their cause."""
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
    `max_queue_size`, `max_streams`, `slo_ms`, `executor` ("process"), `replicas`, `max_replicas`, `call_timeout_s`,
    `load_timeout_s`, `pad`, `batch`, `warm_up`, `trust`, `allow_pickle`, `sha256`, `example`, `name`,
    `version`. An unknown option, device, precision or pass is an error that says what there is; none is ignored.

    Safe from any thread. `with Predictor(...) as p:` closes it at the end.
    """


def _unreadable(error: Exception) -> InvalidInput:
    return InvalidInput(f"it cannot be read: {type(error).__name__}: {error}")
