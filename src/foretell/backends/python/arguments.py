"""From a `Batch` to what a user's function is handed."""

from __future__ import annotations

from typing import Any

from foretell.backends.frame import own_array
from foretell.backends.python.hints import UNSAID, Form, Hint
from foretell.backends.python.signature import Parameter, Signature
from foretell.columns import Array, Batch, Bytes, Column, copied
from foretell.errors import ModelError
from foretell.forms.values import objects, to_python
from foretell.model import Context

Arguments = tuple[list[Any], dict[str, Any]]


def arguments(signature: Signature, batch: Batch, ctx: Context, *, one_row: bool) -> Arguments:
    """Positional and named arguments for one call.

    Columns go by name where every parameter has one; else in their order, where there are as many of the one as of
    the other; else all together as a dict, to a single parameter. Raises `ModelError` where none of it fits.
    """
    if signature.open is not None:
        values = {name: value(column, UNSAID, one_row=one_row) for name, column in batch.columns.items()}
        data: Arguments = ([], values) if signature.open == "name" else (list(values.values()), {})
    else:
        data = _chosen(signature, batch, ctx, one_row=one_row)
    positional, named = data
    for parameter in signature.parameters:
        if parameter.role != "input" and parameter.by_name:
            named[parameter.name] = _extra(parameter, ctx)
    return positional, named


def value(column: Column, hint: Hint, *, one_row: bool) -> Any:
    """One column in the form that its parameter wants; only its first row if the function works on one row."""
    if hint.form is Form.LIST and not one_row:
        return _as_list(column, hint)
    if hint.form is Form.SCALAR or (one_row and hint.form is Form.LIST):
        return _as_list(column, hint)[0]
    if isinstance(column, Bytes) and column.row_shape == () and hint.form is not Form.ARRAY:
        rows = _as_list(column, hint)
        return rows[0] if one_row else rows
    array = _as_array(column, hint)
    return array[0] if one_row else array


def frame(batch: Batch) -> Any:
    """The columns as a pandas DataFrame. Raises `MissingExtra` without pandas."""
    from foretell.backends.frame import data_frame

    return data_frame(batch.columns)


def _chosen(signature: Signature, batch: Batch, ctx: Context, *, one_row: bool) -> Arguments:
    inputs = signature.inputs or ()
    columns = batch.columns
    if signature.whole is not None:
        given = {inputs[0].name: _whole(signature.whole, batch, one_row=one_row)}
    elif all(p.name in columns for p in inputs) and len(columns) == len(inputs):
        given = {p.name: value(columns[p.name], p.hint, one_row=one_row) for p in inputs}
    elif len(columns) == len(inputs):
        pairs = zip(inputs, columns.values(), strict=True)
        given = {p.name: value(column, p.hint, one_row=one_row) for p, column in pairs}
    elif len(inputs) == 1:
        given = {inputs[0].name: {n: value(c, UNSAID, one_row=one_row) for n, c in columns.items()}}
    else:
        expected, got = ", ".join(p.name for p in inputs), ", ".join(columns) or "none"
        raise ModelError("the columns do not fit the parameters", expected=expected, got=got)
    positional = [given[p.name] if p.role == "input" else _extra(p, ctx) for p in signature.parameters if not p.by_name]
    return positional, {p.name: given[p.name] for p in inputs if p.by_name}


def _extra(parameter: Parameter, ctx: Context) -> Any:
    return ctx if parameter.role == "ctx" else ctx.params


def _whole(form: Form, batch: Batch, *, one_row: bool) -> Any:
    if form is Form.BATCH:
        return copied(batch)
    if form is Form.FRAME:
        return frame(batch)
    if form is Form.MAPPING:
        return {name: value(column, UNSAID, one_row=one_row) for name, column in batch.columns.items()}
    lists = {name: to_python(column) for name, column in batch.columns.items()}
    return [{name: rows[row] for name, rows in lists.items()} for row in range(batch.rows)]


def _as_list(column: Column, hint: Hint) -> list[Any]:
    if hint.raw_bytes and isinstance(column, Bytes) and column.row_shape == ():
        valid = column.valid
        items = column.items()
        return items if valid is None else [e if ok else None for e, ok in zip(items, valid, strict=True)]
    return to_python(column)


def _as_array(column: Column, hint: Hint) -> Array:
    if hint.raw_bytes and isinstance(column, Bytes):
        return objects(_as_list(column, hint))
    return own_array(column)
