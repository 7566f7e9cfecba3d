"""From what a runtime declares of a model, and what a few calls of zeros show of it, to foretell's spec."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.backends.row_axis import Declared, declared_rule, row_shape, settle_rule
from foretell.backends.row_probe import Call, Probe
from foretell.config import ModelSettings
from foretell.errors import InvalidSetting, nearest
from foretell.types import BatchRule, ModelSpec, Shape, TensorSpec


def settled_spec(
    inputs: Sequence[Declared],
    outputs: Sequence[Declared],
    settings: ModelSettings,
    call: Call,
    where: str,
    *,
    mixes_rows: bool = False,
    deterministic: bool = True,
) -> ModelSpec:
    """The spec of a model whose calls any number of threads may make, without labels.

    `call`: one call of the runtime, from arrays with all their axes to what its outputs hold. `mixes_rows`: the file
    itself tells that rows depend on each other. Raises `InvalidSetting` for a `pad` of an input that the model lacks,
    and a `batch` that the declarations make impossible.
    """
    _check_pad(settings, inputs, where)
    rule = settle_rule(settings, declared_rule(inputs, outputs), inputs, where)
    probe = Probe(inputs, [each.name for each in outputs], call, mixes_rows=mixes_rows)
    tried = probe.settle(rule, check_rows=settings.batch is None and deterministic)
    batch = rule.batch if settings.batch is not None else tried.batch
    seen = tried.shapes if tried.batch == batch else {}
    return ModelSpec(
        inputs=tuple(TensorSpec(each.name, each.datatype, row_shape(each, batch)) for each in inputs),
        outputs=tuple(_output_spec(each, batch, seen.get(each.name, ())) for each in outputs),
        batch=batch,
        row_wise=tried.row_wise,
        concurrent=True,
        deterministic=deterministic,
        pad=dict(settings.pad) if settings.pad is not None else None,
    )


def _output_spec(declared: Declared, batch: BatchRule, seen: Sequence[tuple[int, ...]]) -> TensorSpec:
    """`seen`: shapes of a row in real answers, which overrule what was declared."""
    shape = row_shape(declared, batch)
    if declared.form != "tensor":
        shape = seen[0] if seen and declared.form == "maps" and batch is not None else None
    for actual in seen:
        if shape is not None:
            shape = _agreed(shape, actual)
    return TensorSpec(declared.name, declared.datatype, shape)


def _agreed(shape: Shape, actual: tuple[int, ...]) -> Shape | None:
    if len(shape) != len(actual):
        return None
    return tuple(size if size == seen else None for size, seen in zip(shape, actual, strict=True))


def _check_pad(settings: ModelSettings, inputs: Sequence[Declared], where: str) -> None:
    names = [each.name for each in inputs]
    for name in settings.pad or {}:
        if name not in names:
            fix = nearest(name, names)
            raise InvalidSetting(f"pad names the input {name!r}, which the model lacks", where=where, fix=fix)
