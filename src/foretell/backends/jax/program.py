"""What an exported JAX function would run: a program of StableHLO, which may call code by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from foretell.errors import InvalidModel, UnsafeModel

_DIALECTS = {"builtin", "func", "stablehlo", "chlo", "sdy"}
_CALLS = re.compile(
    r"lapack_\w+|shape_assertion|Sharding|SPMDFullToShardShape|SPMDShardToFullShape|annotate_device_placement"
    r"|AllocateBuffer|ApproxTopK|Qr|Eigh|LuDecomposition|ProductOfElementaryHouseholderReflectors"
    r"|(stablehlo|mhlo|chlo|xla\.sdy)\.\w+"
)
"""What JAX itself keeps stable for processors; each only computes. Callbacks into Python are not among them."""


_DEMAND = re.compile(r"symbolic shape constraint (.{1,200}?)\. Expected '(.{1,200}?)' to be greater or equal to 0,")
_MOST = re.compile(r"- (?:(?P<times>[1-9]\d{0,8})\*)?(?P<name>\w+) \+ (?P<most>\d{1,9})")

Demands = Mapping[str, str]
"""What a program demands of free sizes, such as "b <= 8" -> "- b + 8", which must not be negative."""


def check_program(exported: Any, where: str) -> Demands:
    """What the program demands of free sizes: a symbolic shape that was read has forgotten it.

    Raises `UnsafeModel` for a call of code that JAX does not bring for computing, `InvalidModel` for no program.
    """
    found: set[str] = set()
    demands: dict[str, str] = {}
    try:
        _walk(exported.mlir_module_serialized, found, demands)
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise InvalidModel(f"it holds no program that JAX reads: {text}", where=where) from error
    refused = sorted(name for name in found if not _CALLS.fullmatch(name))
    if refused:
        raise UnsafeModel("it calls code that is not JAX's own", where=where, got=", ".join(refused[:5])[:200])
    return demands


def most_of(size: Any, demands: Demands) -> int | None:
    """The most that a free size may be, as far as the demands say it of this size alone."""
    found = [match for each in demands.values() if (match := _MOST.fullmatch(each)) is not None]
    limits = [int(match["most"]) // int(match["times"] or 1) for match in found if match["name"] == str(size)]
    return min(limits, default=None) or None


def _walk(program: bytes, found: set[str], demands: dict[str, str]) -> None:
    """The names of what it calls, and of operations of no known dialect; and what it checks sizes for."""
    from jax.extend.mlir import ir
    from jax.extend.mlir.dialects import chlo, sdy, stablehlo

    context = ir.Context()
    context.attach_diagnostic_handler(lambda _: True)  # what is wrong is raised, and not printed, too
    with context:
        for dialect in (stablehlo, chlo, sdy):
            if hasattr(dialect, "register_dialect"):
                dialect.register_dialect(context)
        module = stablehlo.deserialize_portable_artifact(context, program)

        def visit(op: Any) -> Any:
            operation = op.operation
            if operation.name == "stablehlo.custom_call":
                found.add(ir.StringAttr(operation.attributes["call_target_name"]).value)
                if "error_message" in operation.attributes:
                    demand = _DEMAND.search(ir.StringAttr(operation.attributes["error_message"]).value)
                    demands.update({demand[1]: demand[2]} if demand is not None else {})
            elif operation.name.partition(".")[0] not in _DIALECTS:
                found.add(operation.name)
            return ir.WalkResult.ADVANCE

        module.operation.walk(visit)
