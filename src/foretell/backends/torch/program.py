"""Programs that `torch.export` made: their graph as one flat function, and what it says of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from foretell.backends.row_axis import Declared, declared_rule, row_shape
from foretell.backends.torch.runnable import Runnable
from foretell.backends.torch.tensors import datatype_of, named_tensors
from foretell.errors import InvalidModel
from foretell.types import ModelSpec, TensorSpec

_VARYING = (torch.SymInt, torch.SymFloat, torch.SymBool)


def runnable_of(program: Any, where: str) -> Runnable:
    """Raises `InvalidModel` for a program whose inputs or outputs are no tensors."""
    given = _given(program)
    kept = [name for name, value in given.items() if isinstance(value, torch.Tensor)]
    fixed = {at: value for at, (name, value) in enumerate(given.items()) if name not in kept}
    if varying := [name for name, value in given.items() if isinstance(value, _VARYING)]:
        fix = "export it with a fixed number there, or with a tensor"
        raise InvalidModel("an input that is one number for a whole call", where=where, got=varying[0], fix=fix)
    if not kept:
        fix = "export it with tensors as inputs"
        raise InvalidModel("a model without tensors as inputs has nothing to answer", where=where, fix=fix)
    names = _output_names(program)
    values = _output_values(program)
    inputs = tuple(_declared(name, given[name], where) for name in kept)
    outputs = tuple(_declared(name, value, where) for name, value in zip(names, values, strict=True)
                    if isinstance(value, torch.Tensor))  # fmt: skip
    rule = declared_rule(inputs, outputs).batch
    module = program.module(check_guards=False)  # its guards are code of their own; foretell checks the inputs itself
    module.graph.set_codegen(torch.fx.graph.CodeGen())  # tensors in, a flat tuple out
    module.recompile()
    return Runnable(
        module,
        _with_fixed(module.forward, fixed),
        ModelSpec(
            inputs=tuple(TensorSpec(each.name, each.datatype, row_shape(each, rule)) for each in inputs),
            outputs=tuple(TensorSpec(each.name, each.datatype, row_shape(each, rule)) for each in outputs),
            batch=rule,
            concurrent=True,
        ),
        tuple(given[name].dtype for name in kept),
        lambda answer: dict(_tensors(names, answer)),
        _least_rows(program, given[kept[0]]) if rule == "any" else 1,
    )


def _given(program: Any) -> dict[str, Any]:
    """What callers give, in order: a tensor that was never computed, or the value that it was exported with."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [each.arg for each in program.graph_signature.input_specs if each.kind is InputKind.USER_INPUT]
    return {each.name: getattr(each, "value", values.get(each.name)) for each in inputs}


def _output_names(program: Any) -> list[str]:
    """One for each leaf of the answer, as `named_tensors` names the same answer of the module itself."""
    tree = program.call_spec.out_spec
    leaves = [torch.full((1,), at) for at in range(tree.num_leaves)]
    named = named_tensors(pytree.tree_unflatten(leaves, tree))
    names = {int(tensor): name for name, tensor in named.items()}
    return [names.get(at, f"output_{at}") for at in range(tree.num_leaves)]


def _output_values(program: Any) -> list[Any]:
    """What is known of each leaf: a tensor that was never computed, or a plain value."""
    (node,) = (node for node in program.graph.nodes if node.op == "output")
    count = program.call_spec.out_spec.num_leaves
    return [leaf.meta.get("val") if isinstance(leaf, torch.fx.Node) else leaf for leaf in node.args[0][-count:]]


def _tensors(names: Sequence[str], answer: Any) -> list[tuple[str, torch.Tensor]]:
    leaves = answer if isinstance(answer, (tuple, list)) else (answer,)
    pairs = zip(names, leaves[-len(names) :], strict=True)
    return [(name, leaf) for name, leaf in pairs if isinstance(leaf, torch.Tensor)]


def _declared(name: str, value: torch.Tensor, where: str) -> Declared:
    kind = datatype_of(value.dtype)
    if kind is None:
        what, expected = f"{name!r} cannot be served", "tensors of real numbers or booleans"
        raise InvalidModel(what, where=where, expected=expected, got=value.dtype)
    return Declared(name, kind, tuple(size if isinstance(size, int) else str(size) for size in value.shape))


def _least_rows(program: Any, value: torch.Tensor) -> int:
    """The fewest rows that the program was exported for: PyTorch takes a size it calls dynamic for two at least."""
    size = value.shape[0]
    if isinstance(size, int):
        return 1
    limits = program.range_constraints.get(size.node.expr)
    try:
        return max(1, int(limits.lower)) if limits is not None else 1
    except (TypeError, ValueError, OverflowError):
        return 1


def _with_fixed(call: Any, fixed: Mapping[int, Any]) -> Any:
    """`call`, given the inputs that are no tensors with the values they were exported with."""
    if not fixed:
        return call

    def filled(*tensors: torch.Tensor) -> Any:
        rest = iter(tensors)
        return call(*[fixed[at] if at in fixed else next(rest) for at in range(len(fixed) + len(tensors))])

    return filled
