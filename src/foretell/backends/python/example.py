"""Example rows tell the inputs of a model whose code does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from foretell.backends.learned_outputs import datatype_of, shape_of
from foretell.backends.python.signature import Signature
from foretell.columns import Batch, Column
from foretell.errors import InvalidInput
from foretell.forms.values import to_column
from foretell.types import TensorSpec

_WHERE = "example"


def example_batch(
    example: Any, inputs: tuple[TensorSpec, ...] | None, signature: Signature
) -> tuple[tuple[TensorSpec, ...], Batch]:
    """The inputs, with the datatype and row shape that the rows have, and the rows themselves.

    `example`: rows of the single input, or a dict or DataFrame of rows by input name. Raises `InvalidInput` for an
    example that does not fit what is known of the inputs.
    """
    values = _by_name(example, inputs, signature)
    known = {spec.name: spec for spec in inputs or ()}
    columns = {name: to_column(value, where=_where(name), spec=known.get(name)) for name, value in values.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        got = ", ".join(f"{name}: {len(column)}" for name, column in columns.items()) or "none"
        raise InvalidInput("its inputs need the same number of rows, at least one", where=_WHERE, got=got)
    specs = tuple(_told(known.get(name, TensorSpec(name)), column) for name, column in columns.items())
    return specs, Batch(columns, lengths.pop())


def _by_name(example: Any, inputs: tuple[TensorSpec, ...] | None, signature: Signature) -> Mapping[str, Any]:
    is_frame = type(example).__name__ == "DataFrame" and hasattr(example, "to_numpy")
    if inputs is not None and len(inputs) == 1 and not isinstance(example, Mapping):
        return {inputs[0].name: example.to_numpy() if is_frame else example}
    if is_frame:
        example = {str(name): example[name].to_numpy() for name in example.columns}
    if isinstance(example, Mapping):
        if inputs is not None and set(example) != {spec.name for spec in inputs}:
            expected, got = ", ".join(spec.name for spec in inputs), ", ".join(map(str, example)) or "none"
            raise InvalidInput("it has other inputs than the model", where=_WHERE, expected=expected, got=got)
        return {spec.name: example[spec.name] for spec in inputs} if inputs is not None else example
    if inputs is None and signature.whole is None:
        return {"input": example}
    raise InvalidInput("it does not name the inputs", where=_WHERE, expected="a dict of rows by input name")


def _told(spec: TensorSpec, column: Column) -> TensorSpec:
    return replace(
        spec,
        datatype=spec.datatype or datatype_of(column),
        shape=shape_of(column) if spec.shape is None else spec.shape,
    )


def _where(name: str) -> str:
    return f"{_WHERE} of input {name!r}"
