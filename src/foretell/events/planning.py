"""Which fields of the events become which inputs, decided once from the first of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from foretell.errors import InvalidInput, InvalidSetting, nearest
from foretell.forms import mapping
from foretell.forms.cells import CellKind, cell_kind
from foretell.forms.json_cells import sampled_kind
from foretell.model import Model
from foretell.types import ModelSpec

_SORTS: Mapping[str, mapping.Sort] = {"int": "number", "float": "number", "flag": "flag", "unknown": "unknown"}
ROW = "row"
"""The key where nobody has named one: the number of the event in the stream, from 0."""


class Plan(msgspec.Struct, frozen=True):
    """`columns`: input -> its fields. `kinds`: what the cells of each field are read as."""

    columns: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, CellKind]


def plan(
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    chosen: Mapping[str, Sequence[str]] | None,
    spec: ModelSpec,
) -> Plan:
    """By the mapping rules, as a job decides over the beginning of a file. Raises `InvalidInput` where the events do
    not have what is asked for."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    for key in keys:
        if key not in names:
            raise InvalidInput(f"there is no field {key!r} for the key", fix=nearest(key, names))
    left = [name for name in names if name not in keys]
    kinds = {name: sampled_kind([row.get(name) for row in rows]) for name in left}
    columns = mapping.plan(left, lambda name: _SORTS.get(kinds[name], "other"), spec, chosen, extras=True)
    read: dict[str, CellKind] = {}
    for name, sources in columns.items():
        tensor = spec.input(name)
        read |= {source: cell_kind(tensor, kinds[source]) for source in sources}
    return Plan(columns, read)


def plan_from(kept: Mapping[str, Any]) -> Plan:
    """One that was written down."""
    return msgspec.convert(dict(kept), Plan)


def check_rows_alone(model: Model, name: str) -> None:
    """Raises `InvalidInput` for a model that cannot answer events one by one, in any call."""
    spec, where = model.spec, f"model {name!r}"
    if model.only_streams:
        what = "this model answers in pieces only, and a stream needs one answer for each event"
        raise InvalidInput(what, where=where)
    if not spec.row_wise or spec.stateful:
        what = "the answers of this model depend on the rows before or beside them, which a restart would change"
        raise InvalidInput(what, where=where, fix="use foretell predict, which has all rows at once")


def check_names(keys: Sequence[str], outputs: ModelSpec) -> None:
    """Raises `InvalidSetting` where two fields of a result would have one name."""
    names = [*(keys or (ROW,)), *(tensor.name for tensor in outputs.outputs or ())]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidSetting(f"a result would have two fields {twice!r}", fix="choose another --key")
