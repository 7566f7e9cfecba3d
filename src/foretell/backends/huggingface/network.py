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

from foretell.backends.huggingface.alone import answer_each, may_share
from foretell.backends.learned_outputs import blank_column
from foretell.backends.model_settings import pad_text, refuse_tuning
from foretell.backends.torch.device import Carrier, check_device, failure, precision_of, use_threads
from foretell.backends.torch.order import fix_order
from foretell.backends.torch.tensors import array_of
from foretell.columns import Array, Batch, Bytes, Dense
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InferenceError, InvalidModel, ModelError, NotReady
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec

_TAKES = ("precision", "threads", "task")
LOCAL = {"local_files_only": True, "trust_remote_code": False}
SPARE = ("pooler.",)
"""Parts that change nothing of a network's features, and are often left out of its file."""


class Network(Model):
    """Subclasses read the folder in `_read`, make columns of numbers in `preprocess`, and answer them in `_answer`.

    Rows that fail together are asked again alone, and so are all rows of a network whose answer to a row depends on
    what the row is filled up with: a call at load shows whether it does.
    """

    native: ClassVar[bool] = False  # the host work before it holds the interpreter's lock for long

    def __init__(self, path: Path, settings: ModelSettings) -> None:
        refuse_tuning(settings, "a Hugging Face model", takes=_TAKES)
        self._path, self._settings, self._where = path, settings, path.name
        self._device = settings.devices[0]
        self._network: Any = None
        self._carrier: Carrier | None = None
        self._alone = False
        self._threads = settings.shared_threads(usable_cores())

    @abstractmethod
    def _read(self, dtype: torch.dtype) -> tuple[Any, ModelSpec]:
        """The network, and what enters and leaves the model. Raises whatever the library raises."""

    @abstractmethod
    def _answer(self, network: Any, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """What the network says in one call, under `torch.inference_mode`."""

    @abstractmethod
    def _plain(self) -> Batch:
        """Two rows that every model of its task answers, of different length where rows have one."""

    def _told(self, answer: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """The outputs, from what the network said."""
        return answer

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
        self._alone = not self._may_share(dtype)

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """Raises `ModelError` for what the network raises, `ReplicaLost`, `NotReady`."""
        network = self._network
        if network is None:
            raise NotReady("the model is not loaded, or closed", where=self._where)
        if not batch.rows:
            numbers = [tensor for tensor in self.spec.outputs or () if tensor.datatype is not DataType.BYTES]
            return Batch({tensor.name: blank_column(tensor, 0) for tensor in numbers}, 0)
        arrays = {name: _array(column) for name, column in batch.columns.items()}
        use_threads(self._threads)
        with torch.inference_mode():
            if self._alone and batch.rows > 1:
                return answer_each(arrays, batch.rows, lambda one: self._asked(network, one))
            try:
                found = self._asked(network, arrays)
            except (MemoryError, ModelError):
                if batch.rows == 1:
                    raise
                return answer_each(arrays, batch.rows, lambda one: self._asked(network, one))
        return Batch({name: Dense(array) for name, array in found.items()}, batch.rows)

    def _may_share(self, dtype: torch.dtype) -> bool:
        """Raises `InvalidModel` for a network that does not answer the plainest rows."""
        rows = self.preprocess(self._plain(), Context())
        if rows.errors:
            raise InvalidModel(f"it answers nothing: {rows.errors[min(rows.errors)].message}", where=str(self._path))
        rows = Batch({name: each for name, each in rows.columns.items() if not isinstance(each, Bytes)}, rows.rows)
        use_threads(self._threads)
        try:
            with torch.inference_mode():
                return may_share(rows, self.spec.pad or {}, lambda each: self._asked(self._network, each, whole=False),
                                 exact=dtype is torch.float32)  # fmt: skip
        except ModelError as error:
            raise InvalidModel(f"it answers nothing: {error}", where=str(self._path)) from error

    def _asked(self, network: Any, arrays: Mapping[str, Array], *, whole: bool = True) -> Mapping[str, Array]:
        """One call. `whole`: its outputs; else what the network says. Raises `ModelError` for what it raises."""
        try:
            return {name: _widened(array) for name, array in self._computed(network, arrays, whole=whole).items()}
        except (InferenceError, MemoryError):
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise failure(error, f"{type(error).__name__}: {text}", self._carrier, self._where) from error

    def _computed(self, network: Any, arrays: Mapping[str, Array], *, whole: bool) -> Mapping[str, Array]:
        names, tensors = list(arrays), [torch.from_numpy(array) for array in arrays.values()]

        def call(*given: torch.Tensor) -> Mapping[str, torch.Tensor]:
            answer = self._answer(network, dict(zip(names, given, strict=True)))
            return self._told(answer) if whole else answer

        if self._carrier is not None:
            return self._carrier.run(call, tensors, dict)
        return {name: array_of(tensor, name) for name, tensor in call(*tensors).items()}

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


def whole_network(kind: Any, path: Path, dtype: torch.dtype, spare: tuple[str, ...] = ()) -> Any:
    """The network of this class with the weights in the folder. Raises `InvalidModel` where some are not there, beside
    those that begin with one of `spare`: the library would make them up."""
    network, told = kind.from_pretrained(path, dtype=dtype, use_safetensors=True, output_loading_info=True, **LOCAL)
    missing = sorted(name for name in told["missing_keys"] if not name.startswith(spare))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        what = f"the folder lacks weights of {type(network).__name__}"
        fix = "name the task that it was trained for, or train it for this one"
        raise InvalidModel(what, where=str(path), got=f"none for {', '.join(missing[:3])}{more}", fix=fix)
    return network


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


def _array(column: object) -> Array:
    if not isinstance(column, Dense):
        raise TypeError("rows of different length come here filled up")
    return np.ascontiguousarray(column.data)


def _widened(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array
