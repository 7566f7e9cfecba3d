"""Which axis of a model's inputs and outputs holds the rows, as far as declarations tell.

Runtimes tell shapes, not meanings: a first size that is free, or the same in every input and output, is taken for rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from foretell.columns import Array
from foretell.config import ModelSettings
from foretell.errors import InvalidSetting
from foretell.types import BatchRule, DataType, Shape

# Names that exporters invent for a size they do not know; equal sizes get different ones.
_INVENTED = re.compile(r"^(unk__\d+|.*_dim_\d+|.*_dynamic_axes_\d+|(p2o\.)?DynamicDimension\.\d+|dyn_?\d+|\?|)$")

Dims = tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """One input or output as the runtime tells it. `dims`: None where not even the rank is known.

    `form`: "tensor"; "maps", one map from class to score for each row, as ZipMap makes; "sequence" of tensors.
    """

    name: str
    datatype: DataType
    dims: Dims | None
    form: Literal["tensor", "maps", "sequence"] = "tensor"

    @property
    def head(self) -> int | str | None:
        return self.dims[0] if self.dims else None


@dataclass(frozen=True, slots=True)
class Rule:
    """Where the rows are. `proven`: the declarations say so without doubt; else a call has to show it."""

    batch: BatchRule
    proven: bool = True


def declared_rule(inputs: Sequence[Declared], outputs: Sequence[Declared]) -> Rule:
    """What the declarations say of the axis of rows."""
    if not inputs or not all(declared.dims for declared in inputs):
        return Rule(None)
    heads = {_size(declared.head) for declared in inputs}
    if any(declared.dims == () for declared in outputs):
        return Rule(None)
    fixed = {head for head in heads if isinstance(head, int)}
    if not fixed:
        if len(heads - {None}) > 1:
            return Rule(None)
        name = next(iter(heads - {None}), None)
        return Rule("any", all(_follows(output, name) for output in outputs))
    ranks = [len(declared.dims or ()) for declared in inputs]
    count = min(fixed)
    enough = max(ranks) >= 2 if count == 1 else min(ranks) >= 2
    if heads != {count} or count < 1 or not enough:
        return Rule(None)
    sizes = {_size(output.head) for output in outputs if output.dims}
    if any(isinstance(size, int) and size != count for size in sizes):
        return Rule(None)
    return Rule(count, all(output.form == "maps" or output.head == count for output in outputs))


def settle_rule(settings: ModelSettings, rule: Rule, inputs: Sequence[Declared], where: str) -> Rule:
    """The rule, or what the settings say instead. Raises `InvalidSetting` where the file makes that impossible."""
    wanted = settings.batch
    if wanted is None:
        return rule
    if wanted == "none":
        return Rule(None)
    for declared in inputs:
        head = declared.head
        if declared.dims == () or (isinstance(head, int) and head != wanted):
            got = f"batch = {wanted!r}"
            expected = "'none'" if declared.dims == () else f"{head} or 'none'"
            what = f"input {declared.name!r} has " + (f"{head} rows" if declared.dims else "no axis of rows")
            raise InvalidSetting(what, where=where, expected=expected, got=got)
    return Rule(wanted)


def row_shape(declared: Declared, batch: BatchRule) -> Shape | None:
    """The shape of one row; a free size is None."""
    if declared.dims is None:
        return None
    dims = declared.dims if batch is None else declared.dims[1:]
    return tuple(size if isinstance(size, int) else None for size in dims)


def differing_sizes(inputs: Sequence[Declared], feeds: Mapping[str, Array]) -> tuple[str, str] | None:
    """A name that the file gives to several sizes which are not the same here, and what they are."""
    seen: dict[str, dict[str, int]] = {}
    for declared in inputs:
        for axis, name in enumerate(declared.dims or ()):
            if isinstance(name, str) and declared.name in feeds:
                seen.setdefault(name, {})[f"axis {axis} of {declared.name!r}"] = feeds[declared.name].shape[axis]
    for name, sizes in seen.items():
        if len(set(sizes.values())) > 1:
            return name, ", ".join(f"{size} in {where}" for where, size in sizes.items())
    return None


def _size(head: int | str | None) -> int | str | None:
    return None if isinstance(head, str) and _INVENTED.match(head) else head


def _follows(output: Declared, name: int | str | None) -> bool:
    """Whether the output's first axis is declared to be the inputs' axis of rows, called `name`."""
    if output.form == "maps":
        return True
    return output.form == "tensor" and bool(output.dims) and _size(output.head) in (name, None)
