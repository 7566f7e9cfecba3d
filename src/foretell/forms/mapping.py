"""Which columns of a table become which inputs of a model. Pure: it sees names, never values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

from foretell.errors import InvalidInput, nearest
from foretell.types import DataType, ModelSpec, TensorSpec

Sort = Literal["number", "flag", "unknown", "other"]
"""What a column holds: numbers, booleans, nobody knows yet which of them, or neither."""

Plan = dict[str, tuple[str, ...]]
"""Input -> its columns. One column gives the whole row of the input; several give one value of the row each."""


def plan(
    names: Sequence[str],
    sort: Callable[[str], Sort],
    spec: ModelSpec,
    mapping: Mapping[str, Sequence[str]] | None = None,
    ignore: Collection[str] = (),
    *,
    extras: bool = False,
) -> Plan:
    """The columns of each input.

    In this order: `mapping`, where it names the input; (a) the column named as the input; (b) for a single input, the
    model's feature names, in their order; (c) for a single input of width n, exactly n numeric columns, in the order
    of the table, where no feature name occurs. A blank in a column's name may be "_" in the model's, as LightGBM writes
    it. Columns of booleans count as numeric where those of numbers are not n, and alone for an input of booleans.
    `ignore` names columns that are no inputs, such as a key; so does `spec.unused`. Columns that nothing asks for are
    an error, except beside a `mapping`, and with `extras` where the others are found by name.
    Where the inputs are not known, every column is one.
    Raises `InvalidInput`, which shows both sides.
    """
    left = [name for name in names if name not in ignore and name not in spec.unused]
    if spec.inputs is None:
        return _mapped(names, None, mapping) if mapping else {name: (name,) for name in left}
    made = _mapped(names, spec, mapping or {})
    rest = [tensor for tensor in spec.inputs if tensor.name not in made]
    columns = _spelled([tensor.name for tensor in rest], left)
    if set(columns) <= set(left):
        made |= {tensor.name: (column,) for tensor, column in zip(rest, columns, strict=True)}
        wanted = [made[tensor.name][0] for tensor in spec.inputs]
    elif len(rest) == 1 and len(spec.inputs) == 1:
        features = (spec.features or {}).get(rest[0].name)
        wanted = _columns_of_row(left, sort, rest[0], features, extras=extras)
        return {rest[0].name: tuple(wanted)}
    else:
        raise _both_sides([tensor.name for tensor in rest], left, "a column for each input")
    if not mapping and not extras and set(left) != set(wanted):
        raise _both_sides(wanted, left, "only the inputs of the model")
    return {tensor.name: made[tensor.name] for tensor in spec.inputs}


def _columns_of_row(
    left: Sequence[str],
    sort: Callable[[str], Sort],
    tensor: TensorSpec,
    features: Sequence[str] | None,
    *,
    extras: bool,
) -> list[str]:
    features = _spelled(features, left) if features else features
    if features and not set(features).isdisjoint(left):
        if set(features) != set(left) and not (extras and set(features) <= set(left)):
            raise _both_sides(list(features), left, "the features of the model")
        return list(features)
    width = len(features) if features else tensor.width
    sorts = {name: sort(name) for name in left}
    takes = "boolean" if tensor.datatype is DataType.BOOL else "numeric"
    rightly: Sort = "flag" if takes == "boolean" else "number"
    found = [name for name in left if sorts[name] in (rightly, "unknown")]
    either = [name for name in left if sorts[name] != "other"]
    for chosen in (found,) if takes == "boolean" else (found, either):
        if width is not None and len(chosen) == width:
            return chosen
    if features:
        raise _both_sides(list(features), left, "the features of the model")
    if width is None:
        fix = f"give them as one column {tensor.name!r}, or on the command line --map {tensor.name}=a,b,c"
        raise _both_sides([tensor.name], left, "the input of the model", fix)
    raise InvalidInput(
        f"the columns do not fit input {tensor.name!r}",
        expected=f"a column {tensor.name!r} or exactly {width} {takes} columns",
        got=f"{len(found)} {takes}{_beside(sorts, rightly)} of {len(left)} columns {_listed(left)}",
        fix=f"give these columns alone, or on the command line --map {tensor.name}=a,b,c",
    )


def _beside(sorts: Mapping[str, Sort], rightly: Sort) -> str:
    """How many columns of booleans there are beside those of numbers."""
    flags = list(sorts.values()).count("flag") if rightly == "number" else 0
    return f" and {flags} boolean" if flags else ""


def _spelled(wanted: Sequence[str], given: Sequence[str]) -> list[str]:
    """The names of the columns that are wanted, as they stand in the table: with blanks, where it has no such name."""
    blanks = {name.replace(" ", "_"): name for name in given if " " in name and name.replace(" ", "_") not in given}
    return [blanks.get(name, name) for name in wanted]


def _mapped(names: Sequence[str], spec: ModelSpec | None, mapping: Mapping[str, Sequence[str]]) -> Plan:
    made: Plan = {}
    for name, columns in mapping.items():
        tensor = spec.input(name) if spec is not None else None
        if spec is not None and tensor is None:
            known = [known.name for known in spec.inputs or ()]
            raise InvalidInput(f"the mapping names an unknown input {name!r}", fix=nearest(name, known))
        for column in columns:
            if column not in names:
                raise InvalidInput(f"the mapping of input {name!r} names an unknown column {column!r}",
                                   fix=nearest(column, names))  # fmt: skip
        width = tensor.width if tensor is not None else None
        if not columns or (width is not None and len(columns) not in (1, width)):
            raise InvalidInput(f"the mapping of input {name!r} has the wrong number of columns",
                               expected=width if width is not None else "at least 1", got=len(columns))  # fmt: skip
        made[name] = tuple(columns)
    return made


def _both_sides(wanted: Sequence[str], given: Sequence[str], expected: str, fix: str = "") -> InvalidInput:
    missing = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in wanted]
    parts = [f"{word} {_listed(names)}" for word, names in (("missing", missing), ("extra", extra)) if names]
    hint = ""
    if missing and extra:
        hint = nearest(missing[0], extra)
        hint = f"for {missing[0]!r}, {hint}" if hint.startswith("did") else ""
    elif extra:
        hint = "leave the extra columns out"
    return InvalidInput(
        "wrong columns: " + ", ".join(parts),
        expected=f"{expected} {_listed(wanted)}",
        got=_listed(given),
        fix=hint or fix,
    )


def _listed(names: Sequence[str], most: int = 10) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return f"[{shown}, and {len(names) - most} more]" if len(names) > most else f"[{shown}]"
