"""Models for OpenVINO: read and checked first, and only then handed to the runtime."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from foretell.backends.artefact_bytes import check_digest, digest_with
from foretell.backends.cpu import check_cpu
from foretell.backends.model_settings import refuse_tuning
from foretell.backends.onnx_format.external import check_external
from foretell.backends.onnx_format.file import read_onnx
from foretell.backends.onnx_format.labels import class_names
from foretell.backends.opened import Opened
from foretell.backends.openvino.ir_file import read_ir, weights_of
from foretell.backends.openvino.model import OpenVinoModel, Told
from foretell.config import ModelSettings
from foretell.errors import InvalidSetting, Unavailable, missing_extra

_TAKES = ("precision", "threads", "runtime")
_FLOATS = ("fp32", "bf16", "fp16")


def open_ir(path: Path, settings: ModelSettings) -> Opened:
    """Opens the IR at `path`, whose weights stand beside it in a file of its name; nothing is loaded yet.

    Raises `InvalidModel` for half an IR, one without its weights or one that keeps a state, `UnsafeModel` for weights
    outside its folder or another digest than `settings.sha256`, `Unavailable` for a precision or a device that is not
    there, `InvalidSetting` for what OpenVINO cannot honour, `MissingExtra` without it.
    """
    _check(settings)
    if settings.runtime not in (None, "openvino"):
        what, got = "an IR runs on OpenVINO only", f"runtime = {settings.runtime}"
        raise InvalidSetting(what, where=str(path), got=got, fix="leave runtime out")
    found = read_ir(path)
    weights = weights_of(path, found)
    precision = _precision(settings, found.precision, str(path))
    files = {".bin": weights} if weights else {}
    digest = digest_with(path, files)
    check_digest(digest, settings.sha256, path)
    told = Told("ir", (path, *files.values()), deterministic=found.deterministic)
    return _opened(path, told, settings, precision, digest, "openvino")


def open_onnx(path: Path, settings: ModelSettings) -> Opened:
    """Opens the ONNX file at `path` for OpenVINO; nothing is loaded yet. What is asked of the file, and what is told
    of it, is the same as with ONNX Runtime. Raises as `open_ir`."""
    _check(settings)
    found = read_onnx(path)
    files = check_external(path, found.externals)
    precision = _precision(settings, found.precision, str(path))
    digest = digest_with(path, files)
    check_digest(digest, settings.sha256, path)
    told = Told(
        "onnx", (path, *dict.fromkeys(files.values())), dims=found.dims, inputs=found.inputs,
        outputs=found.outputs,
        names=class_names(found), mixes_rows=found.mixes_rows, deterministic=found.deterministic,
    )  # fmt: skip
    return _opened(path, told, settings, precision, digest, "onnx")


def _opened(path: Path, told: Told, settings: ModelSettings, precision: str, digest: str, framework: str) -> Opened:
    return Opened(
        model=OpenVinoModel(path, told, settings, precision),
        name=path.stem,
        digest=digest,
        source=str(path),
        framework=framework,
        size_bytes=sum(file.stat().st_size for file in told.files),
        passes=(),
    )


def _check(settings: ModelSettings) -> None:
    refuse_tuning(settings, "OpenVINO", takes=_TAKES)
    for device in settings.devices:
        if device != "cpu":
            fix = "leave device out, or run an ONNX file on onnxruntime"
            raise Unavailable(f"device {device!r} is not there for OpenVINO", expected="cpu", fix=fix)
    if importlib.util.find_spec("openvino") is None:
        raise missing_extra(
            "openvino", "openvino", f"precision {settings.precision}" if settings.precision else "OpenVINO"
        )


def _precision(settings: ModelSettings, held: str | None, where: str) -> str:
    """The precision to compute in; `held`: that of most weights. Raises `Unavailable`.

    Unless asked for less, it is fp32: a processor's fp16 is slower, and weights of 16 bits are numbers of 32, too.
    """
    wanted = None if settings.precision is None else settings.precision.lower()
    if wanted is None and held == "fp64":
        fix = "say precision = fp32, or run it on onnxruntime"
        raise Unavailable("OpenVINO computes at most in fp32", where=where, expected="fp32", got="fp64", fix=fix)
    if held == "int8" and wanted in (None, held):
        return held
    if wanted is not None and wanted not in _FLOATS:
        fix = "give a quantized model" if wanted == "int8" else "leave precision unset"
        raise Unavailable(
            "OpenVINO has no such precision for it", where=where, expected=", ".join(_FLOATS), got=wanted, fix=fix
        )
    if wanted is not None:
        check_cpu(wanted)
    return wanted or "fp32"
