"""What a SavedModel would do when it is loaded and asked, and what of that is no prediction."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from foretell.errors import InvalidModel, UnsafeModel

INIT = "__saved_model_init_op"
_SERVE, _USUAL = "serve", "serving_default"
_REFUSED = re.compile(
    r"PyFunc|File|Save|Restore|Checkpoint|Reader|Dataset|Summary|^Print|Debug|Remote|Rpc|Collective|TPU|Abort|Sql"
    r"|LoadAndRemap|GenerateVocab|codeProto|LoadLibrary|BigQuery|Bigtable|^_|Distribute|Worker|ImmutableConst|TensorRT|TRTEngine"
)
"""Operators that run code, touch files or the network, or end the process."""
_RESTORES = {"RestoreV2", "Restore", "RestoreSlice"}
_RANDOM = re.compile(r"^(Stateful)?(Random|Multinomial|TruncatedNormal|ParameterizedTruncated)")


def graph_to_serve(model: Any, where: str) -> Any:
    """The meta graph with the tag "serve". Raises `InvalidModel` where there is none."""
    found = [each for each in model.meta_graphs if _SERVE in each.meta_info_def.tags]
    exact = [each for each in found if set(each.meta_info_def.tags) == {_SERVE}]
    if not found:
        tags = ", ".join(sorted({tag for each in model.meta_graphs for tag in each.meta_info_def.tags})) or "none"
        raise InvalidModel("it has no graph to serve", where=where, expected="the tag 'serve'", got=tags)
    return (exact or found)[0]


def signature_of(graph: Any, where: str) -> Any:
    """`serving_default`, or the only other signature. Raises `InvalidModel` where that leaves it open."""
    known = {name: each for name, each in graph.signature_def.items() if name != INIT and each.inputs and each.outputs}
    if _USUAL in known:
        return known[_USUAL]
    if len(known) != 1:
        got = ", ".join(sorted(known)) or "none with inputs and outputs"
        fix = "save it with signatures={'serving_default': function}"
        if known:
            fix = f"load it, and save it with signatures={{'serving_default': loaded.signatures[{min(known)!r}]}}"
        raise InvalidModel("no signature to serve", where=where, expected="serving_default, or one", got=got, fix=fix)
    return next(iter(known.values()))


def init_of(graph: Any) -> str | None:
    """The operation that makes its tables, where there is one."""
    if INIT in graph.signature_def:
        return str(graph.signature_def[INIT].outputs[INIT].name).partition(":")[0] or None
    for key in ("saved_model_main_op", "legacy_init_op"):
        names = graph.collection_def[key].node_list.value if key in graph.collection_def else ()
        if names:
            return str(names[0]).partition(":")[0]
    return None


def check_graph(graph: Any, signature: Any, where: str) -> bool:
    """Whether the same input always gives the same answer. Raises `UnsafeModel` for operators that do more than
    compute in what would be run: the signature, the making of tables, and the reading of the weights."""
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {each.signature.name: each for each in graph.graph_def.library.function}
    asked = _operators((each.name for each in signature.outputs.values()), nodes, functions)
    init = init_of(graph)
    made = _operators([init] if init else [], nodes, functions)
    weights = _operators([graph.saver_def.restore_op_name], nodes, functions) if graph.HasField("saver_def") else set()
    for found, part in ((asked, "its answer"), (made, "its tables"), (weights - _RESTORES, "its weights")):
        refused = sorted(name for name in found if _REFUSED.search(name))
        if refused:
            fix = "if you trust its author, give --allow-pickle and --sha256 with the digest that the author tells"
            raise UnsafeModel(
                f"operators that do more than compute make {part}", where=where, got=", ".join(refused[:5]), fix=fix
            )
    return not any(_RANDOM.match(name) for name in asked)


def handles_of(graph: Any, signature: Any) -> set[str]:
    """The nodes that hold the weights which the signature reads."""
    nodes = {node.name: node for node in graph.graph_def.node}
    reached = _reached((each.name for each in signature.outputs.values()), nodes)
    return {name for name in reached if nodes[name].op == "VarHandleOp"}


def _reached(names: Iterable[str], nodes: dict[str, Any]) -> set[str]:
    """The nodes on all ways to the tensors or operations `names`."""
    open_nodes, seen = [_node_of(name) for name in names], set()
    while open_nodes:
        name = open_nodes.pop()
        if name not in seen and name in nodes:
            seen.add(name)
            open_nodes += [_node_of(each) for each in nodes[name].input]
    return seen


def _operators(names: Iterable[str], nodes: dict[str, Any], functions: dict[str, Any]) -> set[str]:
    """The operators that are run for the tensors or operations `names`, those of the functions they call included."""
    found: set[str] = set()
    called: set[str] = set()
    for name in _reached(names, nodes):
        _note(nodes[name], found, called)
    done: set[str] = set()
    while called - done:
        name = (called - done).pop()
        done.add(name)
        if name in functions:
            called |= _twins(functions[name], functions)
            for node in functions[name].node_def:
                _note(node, found, called)
    return found - set(functions)


def _twins(function: Any, functions: dict[str, Any]) -> set[str]:
    """TensorFlow may run another function instead that says it does the same."""
    said = function.attr["api_implements"].s if "api_implements" in function.attr else b""
    if not said:
        return set()
    return {name for name, each in functions.items() if "api_implements" in each.attr}


def _note(node: Any, found: set[str], called: set[str]) -> None:
    found.add(node.op)
    called.add(node.op)
    for value in node.attr.values():
        called.add(value.func.name)
        called.update(each.name for each in value.list.func)


def _node_of(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]
