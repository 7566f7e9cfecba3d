"""A model written in Python: a function over arrays, or an object with `predict`."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import numpy as np

from foretell.backends.learned_outputs import LearnedOutputs
from foretell.backends.model_settings import pad_text, with_settings
from foretell.backends.python.answers import Answer, finished
from foretell.backends.python.declared import Declared, read_declared
from foretell.backends.python.example import example_batch
from foretell.backends.python.signature import takes_device
from foretell.backends.python.stage import Stage, raised
from foretell.backends.python.streaming import stream, yields
from foretell.backends.text_rows import answer_others, rows_without_text
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InvalidInput, ModelError, NotReady, Unavailable, raise_as
from foretell.model import Context, Model


class CallableModel(Model):
    """Calls `target` with one argument for each input.

    `target`: a function, an object with `predict` (and `load`, `preprocess`, `postprocess`, `close` where it wants
    them), or a class of such objects, which `load` instantiates. `example`: rows that tell the inputs, and by a first
    call the outputs. What nothing tells stays None until the first answer. Plain Python holds the interpreter's lock,
    so calls neither overlap (unless the object says `concurrent = True`) nor run on the event loop. A function or
    `predict` written with `yield` streams; so does a method `stream`, which may stand beside a `predict`.
    """

    forks = True

    def __init__(self, target: object, name: str, settings: ModelSettings, *, example: object = None) -> None:
        self._target = target
        self._name = name
        self._settings = settings
        self._example = example
        self._lock = threading.Lock()
        self._labels: tuple[str, ...] | None = None
        self._instance: Any = None
        self._before: Stage | None = None
        self._after: Stage | None = None
        self._pieces: Stage | None = None

    def load(self, device: str) -> None:
        """Instantiates, calls the user's `load`, and answers the example. Raises `ModelError`, `InvalidModel`, and
        `Unavailable` for a device that the user's `load` does not take."""
        self._instance = self._instantiated()
        load = getattr(self._instance, "load", None)
        with_device = callable(load) and takes_device(load, self._name)
        if device != "cpu" and not with_device:
            fix = "use cpu, or give the model a method load(self, device)"
            raise Unavailable(f"{self._name} knows of no devices", expected="cpu", got=device, fix=fix)
        if callable(load):
            try:
                finished(load(device=device) if with_device else load(), f"{self._name}.load")
            except (Exception, SystemExit) as error:
                raise_as(raised(error, f"{self._name}.load"), error)
        self._prepare(device)

    @property
    def prepares(self) -> bool:
        return self._before is not None

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        self._check_ready()
        if self._before is None or (not batch.rows and self._outputs.known):
            return batch
        stage = self._before
        bad = rows_without_text(batch, stage.signature.texts())
        return answer_others(batch, bad, lambda rest: self._preprocessed(stage, rest, ctx))

    def _preprocessed(self, stage: Stage, batch: Batch, ctx: Context) -> Batch:
        answer = stage.run(batch, ctx, None)
        names = self._stage.signature.inputs
        columns = answer.columns
        if answer.bare and names is not None and len(names) == 1:
            columns = {names[0].name: next(iter(columns.values()))} if columns else {}
        return Batch(columns, batch.rows, {**batch.errors, **answer.errors})

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """Raises `ModelError` for what the user's code raises, and for an answer that is none."""
        self._check_ready()
        if self.only_streams:
            raise InvalidInput("the model streams its answers", where=self._name, expected="a request for a stream")
        bad = rows_without_text(batch, self._stage.signature.texts())
        last = self._after is None
        return answer_others(batch, bad, lambda rest: self._answered(self._stage, rest, ctx, last=last))

    def stream(self, batch: Batch, ctx: Context) -> Iterator[Batch]:
        """Raises as `predict` does, where the next piece would be."""
        self._check_ready()
        if self._pieces is None:
            raise NotImplementedError(f"{self._name} does not stream")
        last = self._after is None
        with closing(stream(self._pieces, batch, ctx, self._outputs.declared if last else None)) as answers:
            for answer in answers:
                yield self._read(answer, self._pieces, last=last)

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        self._check_ready()
        return batch if self._after is None else self._answered(self._after, batch, ctx, last=True)

    def close(self) -> None:
        instance, self._instance = self._instance, None
        close = getattr(instance, "close", None)
        if callable(close):
            try:
                finished(close(), f"{self._name}.close")
            except (Exception, SystemExit) as error:
                raise_as(raised(error, f"{self._name}.close"), error)

    def variant(self) -> Mapping[str, str]:
        batch, pad = self._settings.batch, self._settings.pad
        return {
            "python": platform.python_version(),
            "numpy": np.__version__,
            **({} if batch is None else {"batch": str(batch)}),
            **({} if pad is None else {"pad": pad_text(pad)}),
        }

    def _check_ready(self) -> None:
        if self._instance is None:
            raise NotReady("the model is not loaded, or closed", where=self._name)

    def _instantiated(self) -> Any:
        if not isinstance(self._target, type):
            return self._target
        try:
            return self._target()
        except (Exception, SystemExit) as error:
            raise_as(raised(error, f"{self._name}()"), error)

    def _prepare(self, device: str) -> None:
        declared = read_declared(self._instance, self._name)
        self.transient = declared.transient
        predict = getattr(self._instance, "predict", None)
        one_row = self._settings.batch == "none"
        pieces = self._optional("stream", one_row=one_row)
        if callable(predict):
            self._stage = Stage.of(predict, f"{self._name}.predict", self.transient, one_row=one_row)
        elif pieces is None or callable(self._instance):
            self._stage = Stage.of(self._instance, self._name, self.transient, one_row=one_row)
        else:
            self._stage = pieces
        self.only_streams = self._stage is pieces or (pieces is None and yields(self._stage.function))
        self._pieces = self._stage if self.only_streams else pieces
        self._before = self._optional("preprocess", one_row=one_row)
        self._after = self._optional("postprocess", one_row=one_row)
        self._set_spec(declared)
        if self._example is not None:
            self._answer_example(Context(device=device))

    def _optional(self, name: str, *, one_row: bool) -> Stage | None:
        function = getattr(self._instance, name, None)
        if not callable(function):
            return None
        return Stage.of(function, f"{self._name}.{name}", self.transient, one_row=one_row)

    def _set_spec(self, declared: Declared) -> None:
        spec = declared.spec
        first, last = self._before or self._stage, self._after or self._stage
        if spec.inputs is None:
            spec = spec.with_changes(inputs=first.signature.specs())
        told = last.signature.output_specs()
        self.bare_output = spec.outputs is None and last.signature.named_returns is None and told is not None
        if spec.outputs is None:
            spec = spec.with_changes(outputs=told)
        spec = spec.with_changes(streams=self._pieces is not None)
        self._labels = declared.labels
        self._outputs = LearnedOutputs(spec.outputs)
        self.spec = with_settings(spec, self._settings)
        self._place_labels()

    def _answer_example(self, ctx: Context) -> None:
        first = self._before or self._stage
        specs, batch = example_batch(self._example, self.spec.inputs, first.signature)
        self.spec = with_settings(self.spec.with_changes(inputs=specs), self._settings)
        if not self.only_streams:
            self.postprocess(self.predict(self.preprocess(batch, ctx), ctx), ctx)

    def _answered(self, stage: Stage, batch: Batch, ctx: Context, *, last: bool) -> Batch:
        if not batch.rows and self._outputs.known:
            return Batch(self._outputs.blank(0), 0)
        if not last:
            answer = stage.run(batch, ctx, None)
            return Batch(answer.columns, batch.rows, {**batch.errors, **answer.errors})
        answer = stage.run(batch, ctx, self._outputs.declared)
        if len(answer.errors) == batch.rows and batch.rows:
            columns = self._outputs.blank(batch.rows) if self._outputs.known else {}
        else:
            columns = self._outputs.learn(answer.columns, stage.where)
            self._update_spec(bare=answer.bare)
        return Batch(columns, batch.rows, {**batch.errors, **answer.errors})

    def _read(self, answer: Answer, stage: Stage, *, last: bool) -> Batch:
        """A piece of a stream."""
        columns = answer.columns
        if last and columns:
            columns = self._outputs.learn(columns, stage.where)
            self._update_spec(bare=answer.bare)
        rows = len(next(iter(columns.values()))) if columns else len(answer.errors)
        return Batch(columns, rows, answer.errors)

    def _update_spec(self, *, bare: bool) -> None:
        if self.spec.outputs is self._outputs.specs:
            return
        with self._lock:
            if self.spec.outputs is None:
                self.bare_output = bare
            self.spec = self.spec.with_changes(outputs=self._outputs.specs)
            self._place_labels()

    def _place_labels(self) -> None:
        """A plain list of class names belongs to the output that has one value for each of them."""
        outputs = self.spec.outputs
        if self._labels is None or outputs is None:
            return
        fitting = [spec.name for spec in outputs if spec.shape == (len(self._labels),)]
        names = fitting or ([outputs[0].name] if len(outputs) == 1 else [])
        if not names and all(spec.shape is not None for spec in outputs):
            expected = f"an output of {len(self._labels)} values a row"
            raise ModelError("no output is as wide as the labels are many", where=self._name, expected=expected)
        if names:
            self.spec = self.spec.with_changes(labels=dict.fromkeys(names, self._labels))
