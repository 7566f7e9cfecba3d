"""What ONNX Runtime says, in foretell's sentences: which operator, which version, what to do; no paths, no C++."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from foretell.backends.onnx.quiet import onnxruntime
from foretell.backends.onnx_format.file import OnnxFile
from foretell.backends.row_axis import Declared, differing_sizes
from foretell.columns import Array
from foretell.errors import InferenceError, InvalidInput, InvalidModel, ModelError, ReplicaLost

_STATUS = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_SOURCE = re.compile(r"/?\S*onnxruntime_src/\S+?:\d+ .*?\)(?: const)? (?=\S)", re.DOTALL)
_POSITION = re.compile(r"\S+\.(?:cc|cpp|cu|h):\d+ [\w:~<>]+ ")
_LOADING = re.compile(r"^Load model from .*? failed: ?", re.DOTALL)
_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/:\"']+/)+")
_UNREGISTERED = re.compile(r"Fatal error: (?P<domain>[^:\s]*):(?P<name>\w+)\(-?\d+\) is not a registered")
_UNKNOWN = re.compile(r"No Op registered for (?P<name>\w+) with domain_version of (?P<version>\d+)")
_NO_KERNEL = re.compile(r"Could not find an implementation for (?P<name>[\w.]+)\((?P<version>\d+)\)")
_OPSET = re.compile(
    r"Opset (?P<got>\d+) is under development.*support for domain (?P<domain>\S+) is till opset (\d+)", re.S
)
_IR = re.compile(r"Unsupported model IR version: (?P<got>\d+), max supported IR version: (?P<most>\d+)")
_LOCALE = re.compile(r"Failed to construct locale with name:(?P<name>[\w.@-]+?):")
_CUDA = re.compile(r"\bCUDA failure (?P<code>\d+):")
_MACHINE = re.compile(r" ?; GPU=-?\d+ ; hostname=.*", re.DOTALL)
_GONE = frozenset({214, 220, 700, 702, 710, *range(714, 720), 721})
"""Of CUDA's errors those after which "any further CUDA work will return the same error" until the process ends, as
the reference of its runtime says (cudaError): bad addresses, failed assertions, faults of the device."""
_INVALID_INPUT = ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT", "Required inputs")


def load_error(error: Exception, found: OnnxFile, where: str) -> InvalidModel:
    """Why the runtime does not take the model."""
    text, runtime = str(error), f"ONNX Runtime {onnxruntime.__version__}"
    if match := _UNREGISTERED.search(text):
        what = _operator(match["name"], match["domain"], found)
        return InvalidModel(f"{runtime} does not know the {what}", where=where, fix="export it with standard operators")
    if match := _UNKNOWN.search(text):
        domain = _domain_of(match["name"], found)
        what = _operator(match["name"], domain, found)
        fix = "export the model again, with standard operators"
        return InvalidModel(f"{runtime} does not know the {what}", where=where, fix=fix)
    if match := _NO_KERNEL.search(text):
        what = _operator(match["name"], _domain_of(match["name"], found), found)
        fix = "cast its inputs to another type, float32 most often"
        return InvalidModel(f"{runtime} cannot compute the {what} with these types", where=where, fix=fix)
    if match := _OPSET.search(text):
        what = f"opset {match['got']} of {match['domain']} is newer than {runtime} takes"
        fix = "export it for that opset, or install a newer onnxruntime"
        return InvalidModel(what, where=where, expected=f"at most {match[3]}", got=match["got"], fix=fix)
    if match := _IR.search(text):
        fix = "save it with an older onnx package, or install a newer onnxruntime"
        what = f"its IR version is newer than {runtime} takes"
        return InvalidModel(what, where=where, expected=f"at most {match['most']}", got=match["got"], fix=fix)
    if match := _LOCALE.search(text):
        what = f"its texts are changed by the rules of {match['name']}, which this machine lacks"
        fix = "install that locale (on Debian: apt-get install locales-all), or convert it with locale C.UTF-8"
        return InvalidModel(what, where=where, fix=fix)
    return InvalidModel(f"{runtime} refuses the model: {clean(text)}", where=where)


def run_error(
    error: Exception, where: str, inputs: Sequence[Declared] = (), feeds: Mapping[str, Array] | None = None
) -> InferenceError:
    """Why a call failed: `InvalidInput` where the runtime blames an argument, or sizes that share a name differ;
    `ReplicaLost` where the GPU computes nothing more; else `ModelError`."""
    text = str(error)
    if feeds and (differing := differing_sizes(inputs, feeds)):
        name, got = differing
        return InvalidInput(f"the sizes named {name!r} differ", where=where, expected="one size", got=got)
    if isinstance(error, KeyError):
        return InvalidInput(f"input {error} is missing", where=where)
    if text.startswith(_INVALID_INPUT):
        return InvalidInput(clean(text), where=where)
    told = _CUDA.search(text)
    if told is not None and int(told["code"]) in _GONE:
        what = f"its GPU computes nothing more in this process: {clean(text)}"
        fix = "try again; with executor = process, foretell starts another process by itself"
        return ReplicaLost(what, where=where, fix=fix)
    return ModelError(f"ONNX Runtime failed: {clean(text)}", where=where)


def clean(text: str) -> str:
    """One line of at most 300 characters, without status codes, source positions, folders and names of machines."""
    text = _POSITION.sub("", _SOURCE.sub("", _LOADING.sub("", _STATUS.sub("", _MACHINE.sub("", text)))))
    text = _PATH.sub("", " ".join(text.split())).replace("Name:'' ", "")
    return text if len(text) <= 300 else text[:297] + "..."


def _operator(name: str, domain: str, found: OnnxFile) -> str:
    domain = "" if domain == "ai.onnx" else domain
    version = found.opsets.get(domain)
    of = f"of domain {domain!r}" if domain else "of ONNX"
    return f"operator {name} {of}" + (f" (opset {version})" if version is not None else "")


def _domain_of(operator: str, found: OnnxFile) -> str:
    return next((domain for domain, name in sorted(found.operators) if name == operator), "")
