"""Which inputs a callable takes, as its parameters and type hints tell."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from foretell.backends.python.hints import UNSAID, Form, Hint, read_hint, typed_outputs
from foretell.errors import InvalidModel
from foretell.types import DataType, TensorSpec

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    hint: Hint = UNSAID
    role: Literal["input", "ctx", "params"] = "input"
    by_name: bool = True
    """How it is given. A parameter that can only be given by position is not."""


@dataclass(frozen=True, slots=True)
class Signature:
    """How to call a function.

    `parameters` is what to give it, in order. `open` is "position" or "name" where it takes whatever columns there
    are (*args, **kwargs, a C function), so that its inputs are not known.
    """

    parameters: tuple[Parameter, ...]
    open: Literal["position", "name"] | None = None
    returns: Hint = UNSAID
    named_returns: tuple[tuple[str, Hint], ...] | None = None

    @property
    def inputs(self) -> tuple[Parameter, ...] | None:
        return None if self.open else tuple(p for p in self.parameters if p.role == "input")

    @property
    def whole(self) -> Form | None:
        """The form in which the single parameter wants all columns together, if it does."""
        if self.inputs is not None and len(self.inputs) == 1 and self.inputs[0].hint.whole:
            return self.inputs[0].hint.form
        return None

    @property
    def one_row(self) -> bool:
        """Whether the function works on one row a call: a parameter is annotated `str`, `float`, ..."""
        return any(each.hint.form is Form.SCALAR for each in self.inputs or ())

    def specs(self) -> tuple[TensorSpec, ...] | None:
        if self.inputs is None or self.whole is not None:
            return None
        return tuple(tensor(each.name, each.hint, one_row=self.one_row) for each in self.inputs)

    def texts(self) -> tuple[str, ...]:
        """The parameters that are said to be text, so that other bytes do not belong there."""
        return tuple(p.name for p in self.parameters if p.hint.datatype is DataType.BYTES and not p.hint.raw_bytes)

    def output_specs(self) -> tuple[TensorSpec, ...] | None:
        """What the return type tells, None where it does not tell the names."""
        if self.named_returns is not None:
            return tuple(tensor(name, hint, one_row=self.one_row) for name, hint in self.named_returns)
        if self.returns.datatype is not None:
            return (tensor("output", self.returns, one_row=self.one_row),)
        return None


def tensor(name: str, hint: Hint, *, one_row: bool) -> TensorSpec:
    """The tensor a hint tells. In a function of one row, `list[float]` is a row, not a list of rows."""
    shape = hint.shape
    if one_row and hint.form is Form.LIST and shape is not None:
        shape = (None, *shape)
    if one_row and hint.form is Form.ARRAY:
        shape = None
    return TensorSpec(name, hint.datatype, shape, nullable=hint.nullable)


def read_signature(function: Function, where: str) -> Signature:
    """Reads `function` without calling it. Raises `InvalidModel` for a function that takes no data."""
    try:
        declared = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a C function that does not tell
        return Signature((), "position")
    hints = _hints(function)
    variadic = {p.kind for p in declared} & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    named = [(p, _parameter(p, hints)) for p in declared if p.kind not in variadic]
    chosen = [p for d, p in named if p.role != "input" or d.default is d.empty]
    opening: Literal["position", "name"] | None = None
    if not any(p.role == "input" for p in chosen):
        if variadic:
            opening = "position" if inspect.Parameter.VAR_POSITIONAL in variadic else "name"
        else:
            first = next((p for _, p in named if p.role == "input"), None)
            if first is None:
                raise InvalidModel("it takes no data", where=where, expected="a parameter for each input")
            chosen.append(first)
    returned = _each(hints.get("return"))
    outputs = typed_outputs(returned)
    return Signature(
        tuple(chosen), opening, read_hint(returned), tuple(outputs.items()) if outputs is not None else None
    )


def _parameter(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Parameter:
    hint = read_hint(hints.get(parameter.name))
    role: Literal["input", "ctx", "params"] = "input"
    if hint.form is Form.CONTEXT or parameter.name == "ctx":
        role = "ctx"
    elif parameter.name == "params":
        role = "params"
    return Parameter(parameter.name, hint, role, by_name=parameter.kind is not parameter.POSITIONAL_ONLY)


def takes_device(load: Function, where: str) -> bool:
    """Whether the user's `load` takes the device. Raises `InvalidModel` for one that needs anything else."""
    others = [name for name in required(load) if name != "device"]
    if others:
        expected, got = "load(self) or load(self, device)", f"load(self, {', '.join(others)})"
        fix = "where that is another kind of load, give the object's predict alone"
        raise InvalidModel(
            "its load takes what foretell does not have", where=where, expected=expected, got=got, fix=fix
        )
    try:
        return "device" in inspect.signature(load).parameters
    except (TypeError, ValueError):
        return False


def required(function: Function) -> list[str]:
    """The parameters without which `function` cannot be called; none where it does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variadic]


def _each(returned: Any) -> Any:
    """Of the return type of a generator, what it yields."""
    if typing.get_origin(returned) in (collections.abc.Iterator, collections.abc.Generator):
        return typing.get_args(returned)[0]
    return returned


def _hints(function: Function) -> dict[str, Any]:
    """The resolved hints; none where they name what is not importable at run time."""
    target: Any = function
    while isinstance(target, partial):
        target = target.func
    target = inspect.unwrap(target)
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        target = type(target).__call__
    try:
        return typing.get_type_hints(target)
    except Exception:  # a hint is any expression, so evaluating it raises anything
        return {}
