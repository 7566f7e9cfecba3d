"""A Keras model, on whatever backend Keras has."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foretell.backends.array_model import ArrayModel, Arrays
from foretell.backends.array_probe import probed
from foretell.backends.artefact_bytes import check_digest
from foretell.backends.artefact_file import Artefact
from foretell.backends.first_axis import rule_of, tensor_of
from foretell.backends.keras.archive import check_archive
from foretell.backends.model_settings import refuse_tuning
from foretell.backends.quiet_tensorflow import import_quietly
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidModel, ModelError, Unavailable
from foretell.types import BatchRule, DataType, ModelSpec, TensorSpec
from foretell.warning_filters import within

_TYPES = {
    "float32": DataType.FP32, "float64": DataType.FP64, "float16": DataType.FP16, "bool": DataType.BOOL,
    "int8": DataType.INT8, "int16": DataType.INT16, "int32": DataType.INT32, "int64": DataType.INT64,
    "uint8": DataType.UINT8, "uint16": DataType.UINT16, "uint32": DataType.UINT32, "uint64": DataType.UINT64,
    "string": DataType.BYTES,
}  # fmt: skip


_BF16 = "bfloat16"
_MADE_UP = re.compile(r"(keras_tensor|input_layer)(_\d+)?")
"""Names that Keras gives by counting, so that they are others in the next process."""

_AROUND = re.compile("\x1b\\[[0-9;]*m|{{function_node [^}]*}} ?")
_WHERE = "Exception encountered when calling"


class KerasModel(ArrayModel):
    """Inputs have the names that the model gives them, texts are BYTES; one that nobody has named is `input`. Outputs
    of a dict have its names, of a list those of their layers; a single one is `output`; BF16 is FP32. It answers as in
    inference: nothing is dropped out. One call at a time.
    """

    def __init__(self, read: Callable[[], Any], where: str, settings: ModelSettings) -> None:
        super().__init__(where, settings)
        refuse_tuning(settings, "Keras")
        self._read = read
        self._answer: Callable[[Any], Any] | None = None

    def load(self, device: str) -> None:
        """Raises `Unavailable` for another device than the CPU, `UnsafeModel` for a file that brings code nobody agreed
        to, `InvalidModel`, `MissingExtra`."""
        if device != "cpu":
            raise Unavailable("Keras models run on the CPU", where=self._where, expected="cpu", got=device)
        keras = import_keras()
        model = _told(keras, self._read(), self._where)
        self._shape, inputs = _side(model, "input", self._where)
        _, outputs = _side(model, "output", self._where)
        self._answers = [name for name, _ in outputs]
        rule = rule_of(*([tuple(tensor.shape) for _, tensor in side] for side in (inputs, outputs)))
        backend = keras.backend.backend()
        if backend != "tensorflow" and (texts := [name for name, each in inputs if str(each.dtype) == "string"]):
            what, fix = "Keras takes texts on TensorFlow only", "set KERAS_BACKEND=tensorflow"
            raise InvalidModel(
                what, where=self._where, expected="tensorflow", got=f"{texts[0]!r} on {backend}", fix=fix
            )
        self._answer = _function(keras, model)
        spec = ModelSpec(
            inputs=tuple(_tensor(name, each, rule, self._where) for name, each in inputs),
            outputs=tuple(_tensor(name, each, rule, self._where, answer=True) for name, each in outputs),
            batch=rule,
        )
        self._loaded(probed(spec, self._call, check_rows=self._settings.batch is None))

    def _call(self, feeds: Arrays) -> Arrays:
        answer = self._answer
        if answer is None:
            raise ModelError("the model is closed", where=self._where)
        given: Any = dict(feeds)
        if self._shape == "one":
            (given,) = feeds.values()
        elif self._shape == "list":
            given = list(feeds.values())
        found = answer(given)
        if isinstance(found, Mapping):
            return {name: _array(found[name]) for name in self._answers}
        several = found if isinstance(found, (list, tuple)) else [found]
        return {name: _array(each) for name, each in zip(self._answers, several, strict=True)}

    def _raised(self, error: Exception) -> InferenceError:
        return ModelError(f"Keras failed: {type(error).__name__}: {_reason(error)}", where=self._where)

    def _unload(self) -> None:
        self._answer = None

    def _variant(self) -> Mapping[str, str]:
        keras = import_keras()
        backend = keras.backend.backend()
        version = import_quietly(backend, "Keras").__version__
        return {"keras": keras.__version__, backend: version, "numpy": np.__version__}


def _reason(error: Exception) -> str:
    """One line of what Keras and its backend say, without what they have put around it."""
    text = _AROUND.sub("", str(getattr(error, "message", "") or error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    return next((line for line in lines if not line.startswith(_WHERE)), lines[0])[:300]


def import_keras() -> Any:
    """Raises `MissingExtra` where it or its backend is not installed."""
    return import_quietly("keras", "a Keras model")


def read_file(artefact_path: Path, digest: str, settings: ModelSettings) -> Any:
    """The model in a .keras file. Raises `UnsafeModel` for one that brings code nobody agreed to, `InvalidModel`."""
    keras = import_keras()
    artefact = Artefact.read(artefact_path)
    if artefact.digest != digest:
        raise InvalidModel("it changed since it was opened", where=str(artefact_path), fix="open it again")
    check_digest(digest, settings.sha256, artefact_path)
    agreed = settings.allow_pickle and settings.sha256 is not None
    if not agreed:
        check_archive(artefact.data, str(artefact_path))
    try:
        with within(warnings.catch_warnings(action="ignore")):
            return keras.saving.load_model(artefact_path, compile=False, safe_mode=not agreed)
    except Exception as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise InvalidModel(f"Keras {keras.__version__} refuses it: {text}", where=str(artefact_path)) from error


def _told(keras: Any, model: Any, where: str) -> Any:
    """The model, behind inputs of the shapes that it was called with where it is a class that has not told any."""
    if _tensors(model, "input") is not None:
        return model
    shapes = (model.get_build_config() or {}).get("input_shape")
    if isinstance(shapes, Mapping):
        inputs: Any = {name: keras.Input(tuple(shape)[1:], name=str(name)) for name, shape in shapes.items()}
    elif shapes and all(isinstance(size, int) or size is None for size in shapes):
        inputs = keras.Input(tuple(shapes)[1:], name="input")
    else:
        return model
    try:
        return keras.Model(inputs, model(inputs, training=False))
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise InvalidModel(f"it cannot be called with inputs of {shapes}: {text}", where=where) from error


def _side(model: Any, side: str, where: str) -> tuple[str, list[tuple[str, Any]]]:
    """How its tensors are arranged ("one", "list" or "dict"), and each with its name."""
    found = _tensors(model, side)
    if not hasattr(found, "shape") and not found:
        fix = "call it once, or give it keras.Input"
        raise InvalidModel(f"nobody has told the model its {side}s", where=where, fix=fix)
    if isinstance(found, Mapping):
        return "dict", _named(found, list(found.items()), side, where)
    if not isinstance(found, (list, tuple)):
        name = str(found.name)
        return "one", [(side if side == "output" or _MADE_UP.fullmatch(name) else name, found)]
    names = [str(name) for name in getattr(model, "output_names", ())] if side == "output" else []
    names = names if len(set(names)) == len(found) else [str(getattr(each, "name", "")) for each in found]
    if any(_MADE_UP.fullmatch(name) for name in names):
        names = [f"{side}_{number}" for number in range(len(found))]
    return "list", _named(found, list(zip(names, found, strict=True)), side, where)


def _named(found: Any, named: list[tuple[str, Any]], side: str, where: str) -> list[tuple[str, Any]]:
    if any(not hasattr(each, "shape") for _, each in named):
        raise InvalidModel(f"its {side}s are nested", where=where, expected="one, a list or a dict of them")
    return named


def _tensors(model: Any, side: str) -> Any:
    """As the model is called; a `Sequential` has a list of one."""
    try:
        return getattr(model, side)
    except Exception:
        found = getattr(model, f"{side}s", None)
        return found[0] if found and len(found) == 1 else found


def _tensor(name: str, tensor: Any, rule: BatchRule, where: str, *, answer: bool = False) -> TensorSpec:
    kind = _TYPES.get("float32" if answer and tensor.dtype == _BF16 else str(tensor.dtype))
    if kind is None or getattr(tensor, "sparse", False):
        raise InvalidModel(f"{name!r} is no tensor that can be served", where=where, got=str(tensor.dtype))
    return tensor_of(name, kind, tuple(tensor.shape), rule)


def _function(keras: Any, model: Any) -> Callable[[Any], Any]:
    """The model as one call, compiled once for all numbers of rows where TensorFlow computes."""
    if keras.backend.backend() != "tensorflow":
        found: Callable[[Any], Any] = model.predict_on_batch
        return found
    tensorflow = import_quietly("tensorflow", "Keras")

    def spec(tensor: Any) -> Any:
        return tensorflow.TensorSpec(tensor.shape, tensor.dtype)

    given = _tensors(model, "input")
    wanted: Any = spec(given) if not isinstance(given, (Mapping, list, tuple)) else None
    if isinstance(given, Mapping):
        wanted = {name: spec(each) for name, each in given.items()}
    elif isinstance(given, (list, tuple)):
        wanted = [spec(each) for each in given]
    compiled: Callable[[Any], Any] = tensorflow.function(
        lambda rows: model(rows, training=False), input_signature=[wanted], autograph=False
    )
    return compiled


def _array(value: Any) -> Any:
    array = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
    return array.astype(np.float32) if array.dtype.name == _BF16 else array
