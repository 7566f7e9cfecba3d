"""ONNX files, on ONNX Runtime. Reads what the file says, refuses what is unsafe, and only then involves the runtime."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from foretell.backends.artefact_bytes import check_digest, digest_with
from foretell.backends.cpu import check_cpu
from foretell.backends.model_settings import refuse_tuning
from foretell.backends.onnx.model import OnnxModel, Quantize
from foretell.backends.onnx.session import QUANTIZATION, check_device, check_precision, passes_of
from foretell.backends.onnx_format.external import check_external
from foretell.backends.onnx_format.file import OnnxFile, read_onnx
from foretell.backends.opened import Opened
from foretell.config import ModelSettings
from foretell.errors import InvalidSetting, Unavailable, missing_extra
from foretell.types import Trial


def open_onnx(path: Path, settings: ModelSettings) -> Opened:
    """Opens the model file at `path`; nothing is loaded yet.

    External data may lie beside or below the file, and counts towards the digest. Raises `InvalidModel` for a file
    that is no ONNX model, `UnsafeModel` for external data outside its folder or another digest than
    `settings.sha256`, `InvalidSetting` and `Unavailable` for passes, a precision or a device that are not there.
    """
    refuse_tuning(settings, "ONNX Runtime", takes=("precision", "optimizations", "threads", "runtime"))
    passes = passes_of(settings)
    _check_quantization(settings)
    found = read_onnx(path)
    files = check_external(path, found.externals)
    for device in settings.devices:
        check_device(device, settings.runtime)
    precision = found.precision or "fp32"
    check_precision(settings, precision)
    sha256 = digest_with(path, files)
    check_digest(sha256, settings.sha256, path)
    if settings.precision is not None and settings.precision.lower() == "int8" != precision:
        check_cpu("int8")
        _check_can_quantize(settings, "precision int8 of a model in fp32")
    return Opened(
        model=OnnxModel(path, found, settings, precision, _quantize(path, found, settings, precision, sha256)),
        name=path.stem,
        digest=sha256,
        source=str(path),
        framework="onnx",
        size_bytes=sum(file.stat().st_size for file in (path, *set(files.values()))),
        passes=passes,
    )


def _check_quantization(settings: ModelSettings) -> None:
    if QUANTIZATION not in (settings.optimizations or ()):
        return
    if settings.precision is not None:
        what, got = "quantization decides about the precision", f"precision = {settings.precision}"
        raise InvalidSetting(what, got=got, fix="leave one of them out")
    _check_can_quantize(settings, QUANTIZATION)


def _check_can_quantize(settings: ModelSettings, what: str) -> None:
    """Raises `Unavailable` on another device than the processor, `MissingExtra`."""
    if settings.devices != ("cpu",):
        raise Unavailable(f"{what} is there on processors only", expected="cpu", got=settings.device)
    if importlib.util.find_spec("onnx") is None:
        raise missing_extra("onnx", "optimize", what)


def _quantize(path: Path, found: OnnxFile, settings: ModelSettings, precision: str, digest: str) -> Quantize | None:
    """What decides, when the model is loaded, whether it runs quantized; None where nobody asked."""
    if precision == "fp32" and settings.precision is not None and settings.precision.lower() == "int8":
        return lambda _: None
    if QUANTIZATION not in (settings.optimizations or ()):
        return None
    passes = passes_of(settings)
    plain = replace(settings, optimizations=passes)
    way = f"{precision} {','.join(passes)} {settings.batch}"

    def decide(example: object) -> Trial:
        from foretell.backends.onnx.quantization import tried  # nobody else waits for what it imports

        return tried(
            digest, settings.cache_dir, way, example,
            lambda: OnnxModel(path, found, plain, precision),
            lambda: OnnxModel(path, found, plain, precision, lambda _: None),
        )  # fmt: skip

    return decide
