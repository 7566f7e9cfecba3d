"""A model on PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from foretell.backends.array_model import ArrayModel, Arrays
from foretell.backends.array_probe import probed
from foretell.backends.crowd import Crowd
from foretell.backends.model_settings import refuse_tuning
from foretell.backends.torch.device import (
    Carrier,
    bring,
    check_device,
    failure,
    floats_of,
    precision_of,
    use_threads,
)
from foretell.backends.torch.guess import depends_on_rows
from foretell.backends.torch.order import fix_order
from foretell.backends.torch.runnable import Runnable, evaluating
from foretell.backends.torch.tensors import array_of, tensor_of
from foretell.columns import Array, Column
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InferenceError, InvalidModel, NotReady, Unavailable
from foretell.model import Context
from foretell.types import DataType, ModelSpec

Kinds = tuple[torch.dtype | None, ...]
_COLOURS, _SCRIPT = re.compile("\x1b\\[[0-9;]*m"), "failed in the TorchScript interpreter"
_TAKES = ("precision", "threads", "compile", "model_class")


class TorchModel(ArrayModel):
    """Runs in inference mode, without gradients; numbers in BF16 come and go as FP32.

    `read` gives what to run, once, when the model is loaded.
    """

    def __init__(self, read: Callable[[], Runnable], where: str, settings: ModelSettings) -> None:
        refuse_tuning(settings, "a PyTorch model", takes=_TAKES)
        super().__init__(where, settings)
        self._read: Callable[[], Runnable] | None = read
        self._runnable: Runnable | None = None
        self._call_of: Callable[..., Any] | None = None
        self._carrier: Carrier | None = None
        self._floats: torch.dtype | None = None
        self._kinds: Kinds = ()
        self._device = settings.devices[0]
        self._threads = Crowd(settings.shared_threads(usable_cores()))

    def load(self, device: str) -> None:
        """Raises `Unavailable` for a device or precision that is not there and where torch.compile fails,
        `InvalidModel` for what PyTorch does not take."""
        read, self._read = self._read, None
        if read is None:
            raise NotReady("a model is loaded once", where=self._where, fix="open it again")
        place = check_device(device)
        kind = precision_of(self._settings.precision, place)
        self._device = device
        if self._settings.batch_invariant and place.type == "cpu":
            fix_order(self._where)
        runnable = self._runnable = read()
        try:
            if place.type == "cpu":
                runnable.module.to(place)
            else:
                bring(runnable.module, place)
            if kind is not None:
                runnable.module.to(kind)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            what = f"it cannot be brought to {device}" + (f" in {self._settings.precision}" if kind else "")
            raise Unavailable(f"{what}: {_line(error)}", where=self._where) from error
        self._floats = floats_of([*runnable.weights(), *runnable.module.buffers()])
        narrow = [each is not None and each.is_floating_point and kind is not None for each in runnable.kinds]
        self._kinds = tuple(self._floats if n else each for n, each in zip(narrow, runnable.kinds, strict=True))
        self._carrier = Carrier(place) if place.type == "cuda" else None
        self._call_of = runnable.call
        spec = self._probed(runnable.spec, kind)
        if self._settings.compile:
            self._compile(spec)
        self._loaded(spec)
        self._threads = self._crowd()
        self.calls_at_once = self._threads.calls_at_once
        if runnable.example is not None:
            self.predict(runnable.example, Context(device=device))
        self._settle_outputs()

    def _crowd(self) -> Crowd[int]:
        """Threads of a call. On the processor, of calls at the same time each has one, unless somebody named a number;
        what is compiled is not asked from several threads without need."""
        settings, cores = self._settings, usable_cores()
        threads = settings.shared_threads(cores)
        if self._carrier is not None or settings.compile or not self.spec.concurrent:
            return Crowd(threads)
        if settings.threads or threads == 1:
            return Crowd(threads, calls_at_once=max(1, cores // threads))
        return Crowd(threads, lambda: 1, calls_at_once=threads)

    def _call(self, feeds: Arrays) -> Arrays:
        runnable, call = self._runnable, self._call_of
        if runnable is None or call is None:
            raise NotReady("the model is closed", where=self._where)
        kinds = self._kinds or (None,) * len(feeds)
        try:
            return self._answers(runnable, call, feeds, kinds)
        except Exception:
            fractions = self._fractions(feeds, kinds)
            if fractions is None:
                raise
            with suppress(Exception):
                answers = self._answers(runnable, call, feeds, fractions)
                self._kinds = fractions
                return answers
            raise

    def _fractions(self, feeds: Arrays, kinds: Kinds) -> Kinds | None:
        """Where nobody knows what an input is, 1 may be meant as 1.0, and a float of Python as one of 32 bits where no
        weights tell (of quantized layers): then the types that the inputs would be."""
        wanted, told = self._floats or torch.float32, self._floats is not None
        other = [
            kind is None and (feed.dtype.kind in "iu" if told else feed.dtype.char in "bhilqBHILQd")
            for feed, kind in zip(feeds.values(), kinds, strict=True)
        ]
        if not any(other):
            return None
        return tuple(wanted if each else kind for each, kind in zip(other, kinds, strict=True))

    def _answers(self, runnable: Runnable, call: Callable[..., Any], feeds: Arrays, kinds: Kinds) -> Arrays:
        if runnable.live and runnable.module.training:
            with evaluating(runnable.module):
                return self._answers(runnable, call, feeds, kinds)
        rows, feeds = self._enough(feeds, runnable.least_rows)
        tensors = [tensor_of(feed, kind, self._floats) for feed, kind in zip(feeds.values(), kinds, strict=True)]
        threads = self._threads.enter()
        try:
            use_threads(threads)
            with torch.inference_mode():
                if self._carrier is not None:
                    answers = self._carrier.run(call, tensors, runnable.named)
                else:
                    answers = {name: array_of(each, name) for name, each in runnable.named(call(*tensors)).items()}
        finally:
            self._threads.leave()
        if self._settings.precision is not None:
            answers = {name: _widened(array) for name, array in answers.items()}
        return answers if rows is None else {name: array[:rows] for name, array in answers.items()}

    def _unload(self) -> None:
        self._runnable = self._call_of = self._carrier = self._read = None

    def _variant(self) -> Mapping[str, str]:
        return {
            "runtime": "pytorch",
            "version": str(torch.__version__),
            "device": self._device,
            **({} if self._settings.precision is None else {"precision": self._settings.precision.lower()}),
            **({"compiled": "yes"} if self._settings.compile else {}),
        }

    def _raised(self, error: Exception) -> InferenceError:
        return failure(error, _line(error), self._carrier, self._where)

    def _learned(self, columns: dict[str, Column]) -> dict[str, Column]:
        before = self.spec.outputs
        fitted = super()._learned(columns)
        if self.spec.outputs is not before:
            self._settle_outputs()
        return fitted

    def _settle_outputs(self) -> None:
        """A single answer without a name needs none; class names belong to the outputs that have one value for each."""
        self.bare_output = [each.name for each in self.spec.outputs or ()] == ["output"]
        labels = self._runnable.labels if self._runnable is not None else None
        fitting = [each.name for each in self.spec.outputs or () if labels and each.shape == (len(labels),)]
        if labels and fitting:
            self.spec = self.spec.with_changes(labels=dict.fromkeys(fitting, labels))

    def _probed(self, spec: ModelSpec, kind: torch.dtype | None) -> ModelSpec:
        """Raises `Unavailable` where the model answers, but not in the precision that is asked for."""
        if kind is not None:
            spec = spec.with_changes(outputs=None)
        told = probed(spec, self._call)
        if told.row_wise and self._settings.batch is None:
            told = told.with_changes(row_wise=not self._mixes_rows(told))
        if kind is None or told.outputs is not None or spec.inputs is None:
            return told
        if all(each.datatype is not None and each.shape is not None for each in spec.inputs):
            what = f"this model does not compute in {self._settings.precision}: its own code asks for other numbers"
            raise Unavailable(what, where=self._where, fix="export it in that precision, or leave precision unset")
        return told

    def _mixes_rows(self, spec: ModelSpec) -> bool:
        """As guesses show where the inputs are not known; what a guess has made of `_kinds` is forgotten."""
        runnable, kinds = self._runnable, self._kinds
        if runnable is None or runnable.example is not None:
            return False
        mixes = depends_on_rows(runnable.weights(), spec, self._call)
        self._kinds = kinds
        return mixes

    def _enough(self, feeds: Arrays, least: int) -> tuple[int | None, Arrays]:
        """At least so many rows, the last one repeated, and how many are real."""
        rows = len(next(iter(feeds.values()))) if least > 1 else least
        if rows >= least:
            return None, feeds
        more = {name: np.repeat(each[-1:], least - rows, axis=0) for name, each in feeds.items()}
        return rows, {name: np.concatenate([each, more[name]]) for name, each in feeds.items()}

    def _compile(self, spec: ModelSpec) -> None:
        """The model behind torch.compile, which compiles at the first call: here, where the inputs are known."""
        from foretell.backends.feeds import zeros

        plain = self._call_of
        self._call_of = torch.compile(plain, dynamic=True)
        inputs = spec.inputs or ()
        if any(each.datatype is None or each.shape is None for each in inputs):
            return
        sizes = {each.name: tuple(8 if size is None else size for size in each.shape or ()) for each in inputs}
        axis = () if spec.batch is None else (spec.batch if isinstance(spec.batch, int) else 2,)
        feeds = {each.name: zeros((*axis, *sizes[each.name]), each.datatype or DataType.FP32) for each in inputs}
        try:
            self._call(feeds)
        except Exception as error:
            whole = str(error).splitlines()
            details = [line.partition("error: ")[2] for line in whole if "error: " in line]  # of the C++ compiler
            what = f"torch.compile fails here: {'; '.join([_line(error), *details[:1]])}"
            fix = "install a C++ compiler and Python's headers, or leave compile out"
            raise Unavailable(what, where=self._where, fix=fix) from error


def invalid(error: Exception, where: str) -> InvalidModel:
    """What PyTorch said of a file."""
    return InvalidModel(f"PyTorch {torch.__version__} cannot read it: {_line(error)}", where=where)


def _widened(array: Array) -> Array:
    """The narrower numbers inside are nobody's outside."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _line(error: Exception) -> str:
    """Its first line; of what failed in TorchScript the last one, which says what it was. Without colours."""
    lines = _COLOURS.sub("", str(error)).strip().split("\n")
    text = " ".join(lines[-1 if _SCRIPT in lines[0] else 0].split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
