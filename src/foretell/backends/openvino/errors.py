"""What OpenVINO says, in foretell's sentences: which operator, and what to do; no paths, no C++."""

from __future__ import annotations

import re
from importlib.metadata import version

from foretell.errors import InvalidModel

_SOURCE = re.compile(r"Exception from \S+:\d+:\s*|Check '.*?' failed at \S+:\d+:\s*", re.DOTALL)
_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/:\"']+/)+")
_UNKNOWN = (
    re.compile(r"No conversion rule found for operations: (?P<names>[^\n]+)"),
    re.compile(r"Cannot create (?P<names>\S+) layer .* from unsupported opset: (?P<of>\S+)"),
    re.compile(r"Opset (?P<of>\S+) doesn't contain the operation with type: (?P<names>\S+)"),
)
_FAILED = re.compile(r"Conversion is failed for: (?P<names>[^\n]+)")


def load_error(error: Exception, where: str) -> InvalidModel:
    """Why the runtime does not take the model."""
    text, runtime = str(error), f"OpenVINO {runtime_version()}"
    for pattern in _UNKNOWN:
        if found := pattern.search(text):
            of = f" of {found['of']}" if "of" in pattern.groupindex else ""
            what = f"{runtime} does not know the operator {found['names'].strip()}{of}"
            return InvalidModel(what, where=where, fix="export it with standard operators, or run it on onnxruntime")
    if found := _FAILED.search(text):
        what = f"{runtime} cannot take the operator {found['names'].strip()} as it is used here"
        return InvalidModel(what, where=where, fix="run it on onnxruntime, or export it in another way")
    return InvalidModel(f"{runtime} refuses the model: {clean(text)}", where=where)


def clean(text: str) -> str:
    """One line of at most 300 characters, without source positions and folders."""
    text = _PATH.sub("", " ".join(_SOURCE.sub("", text).split())) or "no reason given"
    return text if len(text) <= 300 else text[:297] + "..."


def runtime_version() -> str:
    """Told without importing it."""
    return version("openvino")
