"""A model on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foretell.backends.artefact_bytes import file_stamp
from foretell.backends.crowd import MOST_BYTES, Crowd
from foretell.backends.declared_spec import settled_spec
from foretell.backends.feeds import feed_of, pieces
from foretell.backends.model_settings import pad_text
from foretell.backends.onnx.answers import Output
from foretell.backends.onnx.bf16 import to_ort_value
from foretell.backends.onnx.errors import run_error
from foretell.backends.onnx.quantize import quantized
from foretell.backends.onnx.quiet import onnxruntime
from foretell.backends.onnx.session import Session, open_session, passes_of, threads_of
from foretell.backends.onnx.spec import declared_inputs, declared_outputs
from foretell.backends.onnx_format.file import OnnxFile
from foretell.backends.onnx_format.labels import class_names, labels_for
from foretell.backends.row_axis import Declared
from foretell.backends.row_probe import Rows
from foretell.columns import Array, Batch, Column, Dense, spread
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import Cancelled, InferenceError, InvalidModel, NotReady, RowError
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, Trial

Quantize = Callable[[object], Trial | None]
"""Asked with its example when a model is loaded, which then runs quantized, unless a trial says that this was not
kept."""


class OnnxModel(Model):
    """Runs an ONNX file; any number of threads may call `predict` at once.

    `found`: what `read_onnx` read; the file must not change before `load`. What of the axis of rows the file declares
    is tried at `load` on a few zeros, unless the settings say where the rows are.
    """

    native: ClassVar[bool] = True

    def __init__(
        self, path: Path, found: OnnxFile, settings: ModelSettings, precision: str, quantize: Quantize | None = None
    ) -> None:
        self._quantize, self._passes = quantize, passes_of(settings)
        self._path, self._found, self._settings, self._precision = path, found, settings, precision
        self._name = path.stem
        self._stamp = file_stamp(path)
        self._device = settings.devices[0]
        self._sessions: Crowd[Session] | None = None
        self._closed = False
        self._inputs: tuple[Declared, ...] = ()
        self._outputs: tuple[Output, ...] = ()
        self._input_types: tuple[tuple[str, np.dtype[Any]], ...] = ()
        self._output_names: list[str] = []
        self._bf16 = self._lean = False
        self._exact_rows = 0

    def load(self, device: str) -> None:
        """Raises `Unavailable` for a device that is not there, `InvalidModel` for what the runtime does not take."""
        if file_stamp(self._path) != self._stamp:
            raise InvalidModel("the file changed since it was opened", where=str(self._path), fix="open it again")
        where = str(self._path)
        source = self._source()
        session = open_session(source, self._found, self._settings, device, where)
        self._device = device
        self._inputs = declared_inputs(session.runtime.get_inputs(), self._found.dims, where)
        declared = declared_outputs(session.runtime.get_outputs(), self._found.dims, where)
        self._outputs = tuple(Output(each, self._name) for each in declared)
        self._output_names = [each.name for each in declared]
        kinds = [each.datatype for each in (*self._inputs, *declared)]
        self._bf16 = DataType.BF16 in kinds
        self._sessions = self._crowd(session, source)
        self.calls_at_once = self._sessions.calls_at_once
        self.spec = self._settled(declared, where)
        plain = DataType.BYTES not in kinds and not self._bf16 and all(each.form == "tensor" for each in declared)
        self._lean = plain and self.spec.batch is not None
        self._exact_rows = self.spec.batch if isinstance(self.spec.batch, int) else 0
        if plain:
            self._input_types = tuple((each.name, each.datatype.numpy) for each in self._inputs)

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """Raises `InvalidInput` for values the runtime refuses, `ModelError`, `NotReady`, and `Cancelled` between
        the calls of a model that takes its rows one by one."""
        sessions = self._sessions
        if sessions is None:
            raise self._not_ready()
        rows, columns, feeds = batch.rows, batch.columns, {}
        if not self._lean or not rows or (self._exact_rows and rows != self._exact_rows):
            return self._predict_generally(batch, ctx)
        try:
            for name, dtype in self._input_types:
                column = columns[name]
                if type(column) is not Dense:
                    return self._predict_generally(batch, ctx)
                data = column.data
                feeds[name] = data if data.dtype is dtype else np.asarray(data, dtype)
            session = sessions.enter()
            try:
                answers = session.run(self._output_names, feeds, None)
            finally:
                sessions.leave()
        except InferenceError:
            raise
        except Exception as error:
            raise run_error(error, self._name, self._inputs, feeds) from error
        answered = {}
        for output, answer in zip(self._outputs, answers, strict=True):
            if not answer.ndim or answer.shape[0] != rows:
                output.rows(answer, rows)
            answered[output.name] = Dense(answer)
        return Batch(answered, rows)

    def close(self) -> None:
        self._sessions = None
        self._closed = True

    def variant(self) -> Mapping[str, str]:
        """What decides the numbers: the number of threads does not, but for the last bits of a few sums."""
        settings = self._settings
        pad = pad_text(settings.pad or {})
        return {
            "runtime": "tensorrt" if settings.runtime == "tensorrt" else "onnxruntime",
            "version": onnxruntime.__version__,
            "precision": self._precision,
            "passes": ",".join(self._passes),
            "device": self._device,
            **({"pad": pad} if pad else {}),
            **({"batch": str(settings.batch)} if settings.batch is not None else {}),
        }

    def _source(self) -> Path | bytes:
        """What the runtime opens. Learns of the trial whether the model runs quantized."""
        if self._quantize is None:
            return self._path
        trial = self._quantize(self.example)
        self.trials = () if trial is None else (trial,)
        if trial is not None:
            if not trial.kept:
                return self._path
            self._passes = (*self._passes, trial.name)
        self._precision = "int8"
        return quantized(self._path)

    def _crowd(self, session: Session, source: Path | bytes) -> Crowd[Session]:
        """With a session for calls at the same time where it can be had: on processors, nobody named a number of
        threads, and the weights are in the one file, and not too many."""
        settings, found = self._settings, self._found
        threads = threads_of(settings) if self._device == "cpu" else 0
        if threads < 2 or settings.threads or found.externals or self._path.stat().st_size > MOST_BYTES:
            return Crowd(session, calls_at_once=usable_cores() if threads == 1 else 1)

        def narrow() -> Session:
            if file_stamp(self._path) != self._stamp:
                raise InvalidModel("the file changed since it was opened", where=str(self._path))
            return open_session(source, found, replace(settings, threads=1), self._device, str(self._path))

        return Crowd(session, narrow, calls_at_once=threads)

    def _settled(self, declared: Sequence[Declared], where: str) -> ModelSpec:
        settings, found = self._settings, self._found
        spec = settled_spec(
            self._inputs, declared, settings, self._values, where,
            mixes_rows=found.mixes_rows, deterministic=found.deterministic,
        )  # fmt: skip
        labels = labels_for(spec.outputs or (), class_names(found))
        for output in self._outputs:
            if output.classes is not None:
                labels[output.name] = tuple(map(str, output.classes))
        return spec.with_changes(labels=labels or None)

    def _predict_generally(self, batch: Batch, ctx: Context) -> Batch:
        """Strings, rows of different length, sequences, and models that do not take any number of rows."""
        if not batch.rows:
            specs = self.spec.outputs or ()
            return Batch({o.name: o.empty(s.shape) for o, s in zip(self._outputs, specs, strict=True)}, 0)
        errors: dict[int, RowError] = {}
        alone = self.spec.batch in (None, 1)
        try:
            feeds = {
                spec.name: feed_of(batch.columns[spec.name], spec, errors, alone=alone)
                for spec in self.spec.inputs or ()
            }
        except KeyError as error:
            raise run_error(error, self._name) from error
        if errors:
            return self._predict_without(batch, errors, ctx)
        answers: list[list[Rows]] = [[] for _ in self._outputs]
        for piece, count in pieces(feeds, batch.rows, self.spec.batch):
            if ctx.cancelled():
                raise Cancelled("nobody waits for this answer any more", where=self._name)
            raw = self._run(piece)
            for parts, output, each in zip(answers, self._outputs, raw, strict=True):
                parts.append(self._rows(output, each, count))
        columns = {o.name: o.column(parts) for o, parts in zip(self._outputs, answers, strict=True)}
        self._learn_labels()
        return Batch(columns, batch.rows)

    def _predict_without(self, batch: Batch, errors: Mapping[int, RowError], ctx: Context) -> Batch:
        good = np.array([row for row in range(batch.rows) if row not in errors], np.int64)
        if not len(good):
            return Batch({}, batch.rows, errors)
        answer = self.predict(batch.take(good), ctx)
        columns: dict[str, Column] = {name: spread(c, good, batch.rows) for name, c in answer.columns.items()}
        return Batch(columns, batch.rows, errors)

    def _rows(self, output: Output, raw: Any, count: int) -> Rows:
        if self.spec.batch is None:
            return output.whole(raw)[None]
        size = self.spec.batch if isinstance(self.spec.batch, int) else count
        return output.rows(raw, size)[:count]

    def _run(self, feeds: Mapping[str, Array]) -> Sequence[Any]:
        try:
            return self._call(feeds)
        except InferenceError:
            raise
        except Exception as error:
            raise run_error(error, self._name, self._inputs, feeds) from error

    def _call(self, feeds: Mapping[str, Array]) -> Sequence[Any]:
        sessions = self._sessions
        if sessions is None:
            raise self._not_ready()
        runtime = sessions.enter().runtime
        try:
            if not self._bf16:
                answers: Sequence[Any] = runtime.run(self._output_names, feeds)
                return answers
            values = {each.name: to_ort_value(feeds[each.name], each.datatype) for each in self._inputs}
            found: Sequence[Any] = runtime.run_with_ort_values(self._output_names, values)
            return found
        finally:
            sessions.leave()

    def _values(self, feeds: Mapping[str, Array]) -> list[Rows]:
        return [output.value(each) for output, each in zip(self._outputs, self._call(feeds), strict=True)]

    def _learn_labels(self) -> None:
        """Classes that no call could tell at load are known from the first answer on."""
        labels, outputs = dict(self.spec.labels or {}), list(self.spec.outputs or ())
        told = {o.name: o.classes for o in self._outputs if o.classes is not None and o.name not in labels}
        if not told:
            return
        for at, spec in enumerate(outputs):
            classes = told.get(spec.name)
            if classes is not None:
                labels[spec.name] = tuple(map(str, classes))
                outputs[at] = spec if self.spec.batch is None else replace(spec, shape=(len(classes),))
        self.spec = self.spec.with_changes(labels=labels, outputs=tuple(outputs))

    def _not_ready(self) -> NotReady:
        return NotReady("the model is closed" if self._closed else "the model is not loaded", where=self._name)
