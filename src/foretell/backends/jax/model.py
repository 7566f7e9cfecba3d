"""A function that jax.export has written, compiled for this machine."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from foretell.backends.array_model import ArrayModel, Arrays
from foretell.backends.array_probe import probed
from foretell.backends.first_axis import Dims, rule_of, tensor_of
from foretell.backends.jax.names import input_names, output_names
from foretell.backends.jax.program import Demands, check_program, most_of
from foretell.backends.model_settings import refuse_tuning
from foretell.columns import Array
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidInput, InvalidModel, ModelError, Unavailable
from foretell.extras import needs
from foretell.types import DataType, ModelSpec


class JaxModel(ArrayModel):
    """Inputs and outputs have the names of the function's dicts and keywords; see `input_names` and `output_names`.

    XLA compiles for each number of rows. Where that is free and no row depends on another, calls are filled up to the
    next power of two, so that there are few; where the export bounds them ("b <= 8"), calls are cut to that many. Any
    number of threads may call, as JAX documents.
    """

    def __init__(self, data: bytes, where: str, settings: ModelSettings) -> None:
        super().__init__(where, settings)
        refuse_tuning(settings, "JAX")
        self._data = data
        self._answer: Callable[..., Any] | None = None
        self._filled = False
        self._demands: Demands = {}
        self._most: int | None = None
        """Rows of one call, where the function was exported for no more."""

    def load(self, device: str) -> None:
        """Raises `Unavailable` for another device than the CPU, `UnsafeModel` for a program that calls code which is
        not JAX's own, `InvalidModel`, `MissingExtra`."""
        if device != "cpu":
            raise Unavailable("JAX functions run on the CPU", where=self._where, expected="cpu", got=device)
        jax = import_jax()
        exported = _read(jax, self._data, self._where)
        self._data = b""
        if "cpu" not in exported.platforms:
            got, fix = ", ".join(exported.platforms), "export it with platforms=('cpu',) among them"
            raise Unavailable("it was exported for another device", where=self._where, expected="cpu", got=got, fix=fix)
        self._demands = check_program(exported, self._where)
        try:
            self._inputs, self._names = input_names(exported.in_tree), output_names(exported.out_tree)
            spec = _spec(exported, self._inputs, self._names, self._where)
        except (AttributeError, ValueError, StopIteration) as error:
            raise InvalidModel(f"its arguments cannot be named: {error}", where=self._where) from error
        if not self._inputs or not self._names:
            what = "a function without " + ("answers" if self._inputs else "arguments")
            raise InvalidModel(f"{what} has nothing to answer", where=self._where)
        kinds = [np.dtype(each.dtype) for each in (*exported.in_avals, *exported.out_avals)]
        self._wide = any(kind.itemsize == 8 for kind in kinds)
        self._tree, self._bf16 = exported.in_tree, {each.name for each in (*(spec.inputs or ()), *(spec.outputs or ()))
                                                   if each.datatype is DataType.BF16}  # fmt: skip
        self._at_home = jax.default_backend() == "cpu"
        self._answer = jax.jit(exported.call)
        found = probed(spec, self._call, check_rows=self._settings.batch is None)
        self._loaded(found.with_changes(concurrent=True))
        self._filled = self.spec.batch == "any" and self.spec.row_wise
        limits = [most_of(each.shape[0], self._demands) for each in exported.in_avals if each.shape]
        self._most = min((limit for limit in limits if limit is not None), default=None) if self._filled else None

    def _call(self, feeds: Arrays) -> Arrays:
        rows = len(next(iter(feeds.values()))) if self._filled and feeds else 0
        if self._most is None or rows <= self._most:
            return self._called(feeds, rows)
        starts = range(0, rows, self._most)
        parts = [{name: array[at : at + self._most] for name, array in feeds.items()} for at in starts]
        made = [self._called(part, min(self._most, rows - at)) for part, at in zip(parts, starts, strict=True)]
        return {name: np.concatenate([each[name] for each in made]) for name in made[0]}

    def _called(self, feeds: Arrays, rows: int) -> Arrays:
        """`rows`: how many there are, where they may be filled up; else 0."""
        jax, answer = import_jax(), self._answer
        if answer is None:
            raise ModelError("the model is closed", where=self._where)
        args, named = self._tree.unflatten([self._given(feeds[name], name, rows) for name in self._inputs])
        wide: AbstractContextManager[Any] = jax.enable_x64(True) if self._wide else nullcontext()
        here = nullcontext() if self._at_home else jax.default_device(jax.devices("cpu")[0])
        with wide, here:
            found = jax.tree_util.tree_leaves(answer(*args, **named))
        answers = {name: self._taken(each, name) for name, each in zip(self._names, found, strict=True)}
        return {name: each[:rows] for name, each in answers.items()} if rows else answers

    def _given(self, array: Array, name: str, rows: int) -> Array:
        """As XLA takes it, with the last row again up to the next power of two, or to the most rows."""
        filled = 1 << (rows - 1).bit_length() if rows else 0
        missing = (filled if self._most is None else min(filled, self._most)) - rows
        if rows and missing:
            array = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
        if name in self._bf16:
            import ml_dtypes

            return array.view(ml_dtypes.bfloat16)
        return array

    def _taken(self, value: Any, name: str) -> Array:
        array = np.array(value)
        return array.view(np.uint16) if name in self._bf16 else array

    def _raised(self, error: Exception) -> InferenceError:
        text = " ".join(str(error).strip().partition("\n")[0].split())[:300]
        if self._demands and "refining shapes" in text:
            expected = ", ".join(self._demands)[:300]
            return InvalidInput("the function was not exported for these sizes", where=self._where, expected=expected)
        return ModelError(f"JAX failed: {type(error).__name__}: {text}", where=self._where)

    def _unload(self) -> None:
        self._answer, self._data = None, b""

    def _variant(self) -> Mapping[str, str]:
        import jaxlib

        return {"jax": import_jax().__version__, "jaxlib": jaxlib.__version__, "numpy": np.__version__}


def import_jax() -> Any:
    """Raises `MissingExtra` where it is not installed. Where nobody has imported it before and nobody has said on what
    it is to run, it sees the CPU only: it would take most of the memory of a GPU."""
    if (known := sys.modules.get("jax")) is not None:
        return known
    with needs("jax", "jax", "a function of jax.export"):
        import flatbuffers  # noqa: F401 (jax.export needs it, and does not bring it)
        import jax
    if jax.config.jax_platforms is None:
        jax.config.update("jax_platforms", "cpu")
    return jax


def _read(jax: Any, data: bytes, where: str) -> Any:
    export = importlib.import_module("jax.export")
    try:
        exported = export.deserialize(bytearray(data))
        if exported.nr_devices != 1:
            raise InvalidModel("it was exported for several devices", where=where, expected=1, got=exported.nr_devices)
        return exported
    except InferenceError:
        raise
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        text = " ".join(str(error).split())[:200]
        what = f"jax.export does not read it: {type(error).__name__}: {text}"
        expected = f"what jax.export's Exported.serialize gave, not newer than JAX {jax.__version__}"
        raise InvalidModel(what, where=where, expected=expected) from error


def _spec(exported: Any, inputs: list[str], outputs: list[str], where: str) -> ModelSpec:
    """What the file declares. Raises `InvalidModel` for a type that cannot be served."""
    declared = [_dims(each) for each in exported.in_avals], [_dims(each) for each in exported.out_avals]
    rule = rule_of(*declared) if inputs else None
    kinds = [_datatype(each, where) for each in (*exported.in_avals, *exported.out_avals)]
    told = zip([*inputs, *outputs], kinds, [*declared[0], *declared[1]], strict=True)
    sides = [tensor_of(name, kind, dims, rule) for name, kind, dims in told]
    return ModelSpec(inputs=tuple(sides[: len(inputs)]), outputs=tuple(sides[len(inputs) :]), batch=rule)


def _dims(aval: Any) -> Dims:
    return tuple(size if isinstance(size, int) else None for size in aval.shape)


def _datatype(aval: Any, where: str) -> DataType:
    found = DataType.BF16 if str(aval.dtype) == "bfloat16" else None
    if found is None and isinstance(aval.dtype, np.dtype):
        found = DataType.of(aval.dtype)
    if found is None or found is DataType.BYTES:
        raise InvalidModel("a tensor of it cannot be served", where=where, got=str(aval.dtype))
    return found
