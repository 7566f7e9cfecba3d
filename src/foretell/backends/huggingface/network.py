"""What models of Hugging Face share: a network of PyTorch between host work before it and little after it."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import transformers

from foretell.backends.learned_outputs import blank_column
from foretell.backends.model_settings import pad_text, refuse_tuning
from foretell.backends.torch.device import Carrier, check_device, precision_of, use_threads
from foretell.backends.torch.order import fix_order
from foretell.backends.torch.tensors import array_of
from foretell.columns import Array, Batch, Column, Dense
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InferenceError, InvalidModel, ModelError, NotReady
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec

_TAKES = ("precision", "threads", "task")


class Network(Model):
    """Subclasses read the folder in `_read`, make columns of numbers in `preprocess`, and answer them in `_answer`."""

    native: ClassVar[bool] = False  # the host work before it holds the interpreter's lock for long

    def __init__(self, path: Path, settings: ModelSettings) -> None:
        refuse_tuning(settings, "a Hugging Face model", takes=_TAKES)
        self._path, self._settings, self._where = path, settings, path.name
        self._device = settings.devices[0]
        self._network: Any = None
        self._carrier: Carrier | None = None
        self._threads = settings.shared_threads(usable_cores())

    @abstractmethod
    def _read(self, dtype: torch.dtype) -> tuple[Any, ModelSpec]:
        """The network, and what enters and leaves the model. Raises whatever the library raises."""

    @abstractmethod
    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """The outputs of one call, under `torch.inference_mode`."""

    def load(self, device: str) -> None:
        """Raises `Unavailable` for a device or precision that is not there, `InvalidModel` for half a folder."""
        place = check_device(device)
        dtype = precision_of(self._settings.precision, place) or torch.float32
        self._device = device
        if self._settings.batch_invariant and place.type == "cpu":
            fix_order(self._where)
        try:
            with quiet():
                network, spec = self._read(dtype)
        except InferenceError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:300] or type(error).__name__
            raise InvalidModel(f"it cannot be read: {text}", where=str(self._path)) from error
        self._network = network.eval().to(place)
        self._carrier = Carrier(place) if place.type == "cuda" else None
        self.spec = spec

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """Raises `ModelError` for what the network raises, `NotReady`."""
        network = self._network
        if network is None:
            raise NotReady("the model is not loaded, or closed", where=self._where)
        if not batch.rows:
            numbers = [tensor for tensor in self.spec.outputs or () if tensor.datatype is not DataType.BYTES]
            return Batch({tensor.name: blank_column(tensor, 0) for tensor in numbers}, 0)
        tensors = {name: torch.from_numpy(_array(column)) for name, column in batch.columns.items()}
        use_threads(self._threads)
        try:
            with torch.inference_mode():
                arrays = self._computed(network, tensors)
        except (InferenceError, MemoryError):
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise ModelError(f"PyTorch failed: {type(error).__name__}: {text}", where=self._where) from error
        return Batch({name: Dense(_widened(array)) for name, array in arrays.items()}, batch.rows)

    def _computed(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, Array]:
        names = list(tensors)

        def call(*given: torch.Tensor) -> Mapping[str, torch.Tensor]:
            return self._answer(network, dict(zip(names, given, strict=True)))

        if self._carrier is not None:
            return self._carrier.run(call, tensors.values(), dict)
        return {name: array_of(tensor, name) for name, tensor in call(*tensors.values()).items()}

    def close(self) -> None:
        self._network = self._carrier = None

    def variant(self) -> Mapping[str, str]:
        settings = self._settings
        return {
            "runtime": "pytorch",
            "version": str(torch.__version__),
            "transformers": transformers.__version__,
            "device": self._device,
            **({} if settings.precision is None else {"precision": settings.precision.lower()}),
            **({} if settings.pad is None else {"pad": pad_text(settings.pad)}),
        }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the library's bars and advice, which are for whoever trains a model."""
    log = transformers.utils.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()


def _array(column: Column) -> Array:
    if not isinstance(column, Dense):
        raise TypeError("rows of different length come here filled up")
    return np.ascontiguousarray(column.data)


def _widened(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array
