"""`foretell inspect`."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import orjson

from foretell.catalog import Served
from foretell.certificate import summary_for
from foretell.cli.flag import Flag
from foretell.cli.flags import ModelFlags
from foretell.cli.loading import load_all
from foretell.cli.output import print_json, print_table, print_text, results_alone
from foretell.engine.identity import variant_of
from foretell.errors import InvalidSetting
from foretell.types import DataType, ModelSpec, TensorSpec, Trial
from foretell.verify.machine import machine

_FREE = 1  # elements to show along a free dimension
_MOST_CURL, _MOST_VALUES = 4096, 16
"""Characters of a body, and values of an input, that are shown as they are."""
_OF_CODE = "; of this file, whatever it imports or reads"
_PASSES = "passes"
_PREDICTOR = "predictor"
_WAY_OUT = (
    "There is no request to paste, since the model does not tell the type and shape of its inputs. An attribute of the "
    "class or function tells them, with the shape of one row:",
    'inputs = (foretell.TensorSpec("x", foretell.DataType.FP32, (4,)),)',
    "So do type hints for single values and texts, such as list[float] and list[str]; and in Python "
    "Predictor(model, example=rows).",
)


def inspect(*models: Annotated[str, Flag(("MODEL",))], json: bool = False, model: ModelFlags = ModelFlags()) -> None:
    """Show what a model takes and gives, its digest and size, and a request to paste.

    Parameters
    ----------
    models
        As for `foretell serve`; of REPO/NAME, the newest version.
    json
        Print JSON.
    """
    if not models:
        raise InvalidSetting("MODEL is missing", expected="foretell inspect MODEL...")
    with results_alone():
        catalog = load_all(models, model.given(), newest=True)
        found = [catalog.resolve(name, version) for name in catalog.names() for version in catalog.versions(name)]
        try:
            described = [describe(served) for served in found]
        finally:
            for served in found:
                served.engine.close()
    if json:
        print_json(described if len(described) > 1 else described[0])
        return
    for one in described:
        _print(one)


def describe(served: Served) -> dict[str, Any]:
    """Everything `inspect` shows."""
    spec, opened = served.spec, served.opened
    request, variant = example_request(spec), variant_of(served.engine.model, served.engine.settings)
    return {
        "name": served.name,
        "version": served.version,
        "framework": opened.framework,
        "source": opened.source,
        "size_bytes": opened.size_bytes,
        "digest": opened.digest or None,
        "variant": dict(variant),
        "optimizations": [each for each in variant.get(_PASSES, "").split(",") if each] or list(opened.passes),
        "trials": [asdict(each) for each in served.engine.model.trials],
        "certificate": summary_for(served.opened.source, served.identity),
        "batch": "none" if spec.batch is None else spec.batch,
        "row_wise": spec.row_wise,
        "inputs": [_tensor(t, spec) for t in spec.inputs] if spec.inputs is not None else None,
        "outputs": [_tensor(t, spec) for t in spec.outputs] if spec.outputs is not None else None,
        "curl": curl(served.name, request) if request else None,
        "python": python(served.name, request) if request else None,
    }


def example_request(spec: ModelSpec) -> dict[str, Any] | None:
    """A request of one row that fits the spec, or None where the inputs are not known. FP16 and BF16 have no JSON."""
    inputs = []
    for tensor in spec.inputs or ():
        if tensor.datatype in (None, DataType.FP16, DataType.BF16) or tensor.shape is None:
            return None
        shape = [_FREE if size is None else size for size in tensor.shape]
        count = int(np.prod(shape)) if shape else 1
        value: Any = {DataType.BYTES: "some text", DataType.BOOL: True}.get(tensor.datatype, 0)
        if tensor.datatype.is_float:
            value = 0.5
        whole = shape if spec.batch is None else [1, *shape]
        inputs.append({"name": tensor.name, "shape": whole, "datatype": tensor.datatype.value, "data": [value] * count})
    return {"inputs": inputs} if inputs else None


def curl(name: str, request: dict[str, Any]) -> str:
    """Values that are too many for a command line are made by Python."""
    call = f"curl -s {_url(name)} -H 'Content-Type: application/json' -d"
    body = orjson.dumps(request).decode()
    if len(body) <= _MOST_CURL:
        return f"{call} {shlex.quote(body)}"
    made = shlex.quote(f"import json; print(json.dumps({_literal(request)}))")
    return f"python3 -c {made} | {call} @-"


def python(name: str, request: dict[str, Any]) -> str:
    """Needs nothing but the standard library."""
    return (
        "import json, urllib.request\n"
        f"request = {_literal(request)}\n"
        f"call = urllib.request.Request({_url(name)!r}, json.dumps(request).encode())\n"
        "print(json.load(urllib.request.urlopen(call)))"
    )


def _literal(request: dict[str, Any]) -> str:
    """In Python; many values, which are all the same here, as a product."""
    said = repr(request)
    for tensor in request["inputs"]:
        if len(tensor["data"]) > _MOST_VALUES:
            said = said.replace(repr(tensor["data"]), f"{tensor['data'][:1]!r} * {len(tensor['data'])}", 1)
    return said


def _url(name: str) -> str:
    from urllib.parse import quote

    return f"http://127.0.0.1:8000/v2/models/{quote(name)}/infer"


def _tensor(tensor: TensorSpec, spec: ModelSpec) -> dict[str, Any]:
    inner = None if tensor.shape is None else [-1 if size is None else size for size in tensor.shape]
    return {
        "name": tensor.name,
        "datatype": tensor.datatype.value if tensor.datatype else None,
        "shape": inner if inner is None or spec.batch is None else [-1, *inner],
        "labels": list((spec.labels or {}).get(tensor.name, ())) or None,
        "features": list((spec.features or {}).get(tensor.name, ())) or None,
    }


def _print(one: dict[str, Any]) -> None:
    rule = {"any": "any number of rows", "none": "no axis of rows: one call is one row"}
    batch = rule.get(one["batch"], f"exactly {one['batch']} rows in a call; foretell pads and splits")
    facts = [
        ["source", one["source"]],
        ["framework", one["framework"]],
        ["size", f"{one['size_bytes']:,} bytes" if one["size_bytes"] is not None else "not known"],
        ["digest", one["digest"] or "none: a live object"],
        ["runs as", _runs_as(one["variant"])],
        ["optimizations", ", ".join(one["optimizations"]) or "none"],
        *(["tried", Trial(**each).describe()] for each in one["trials"]),
        ["certificate", _certified(one["certificate"], one["variant"], of_code=one["framework"] == "python")],
        ["batch", batch],
    ]
    print_table([], facts, f"{one['name']} version {one['version']}")
    for kind in ("inputs", "outputs"):
        if one[kind] is None:
            print(f"{kind}: not known before the first call")
            continue
        rows = [[t["name"], t["datatype"] or "?", str(t["shape"] or "?"), _some(t)] for t in one[kind]]
        print_table([kind[:-1], "datatype", "shape", "labels or features"], rows)
    if one["curl"] is None:
        _print_why(one["inputs"])
        return
    print("\nServed by foretell serve, it answers. In a shell:\n")
    print(one["curl"])
    print(f"\nIn Python:\n\n{one['python']}\n")


def _print_why(inputs: list[dict[str, Any]] | None) -> None:
    """Why there is no request, and what to do."""
    if inputs and all(tensor["datatype"] is not None and tensor["shape"] is not None for tensor in inputs):
        print("\nThere is no request to paste: FP16 and BF16 have no JSON.")
        return
    what, attribute, others = _WAY_OUT
    print()
    print_text(what)
    print(f"\n  {attribute}\n")
    print_text(others)


def _runs_as(variant: dict[str, str]) -> str:
    """What stands nowhere else; of a predictor's class, only its own name: its module's is an inner matter."""
    shown = {name: value for name, value in variant.items() if name != _PASSES}
    if _PREDICTOR in shown:
        shown[_PREDICTOR] = shown[_PREDICTOR].rpartition(".")[2]
    return ", ".join(f"{key} {value}" for key, value in shown.items()) or "it is"


def _certified(certificate: dict[str, Any] | None, variant: dict[str, str], *, of_code: bool) -> str:
    if certificate is None:
        return "none: foretell verify makes one"
    said = f"{certificate['verdict']} through {', '.join(certificate['doors'])}, {certificate['made']}"
    elsewhere = "" if certificate["machine"] == machine(variant) else ", on another machine than this"
    return f"{said}{elsewhere}{_OF_CODE if of_code else ''}"


def _some(tensor: dict[str, Any], most: int = 8) -> str:
    names = tensor["labels"] or tensor["features"] or []
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")
