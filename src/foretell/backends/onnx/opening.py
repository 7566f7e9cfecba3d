"""ONNX files, on ONNX Runtime. Reads what the file says, refuses what is unsafe, and only then involves the runtime."""

from __future__ import annotations

from pathlib import Path

from foretell.backends.artefact_bytes import check_digest, digest_with
from foretell.backends.model_settings import refuse_tuning
from foretell.backends.onnx.model import OnnxModel
from foretell.backends.onnx.session import check_device, check_precision, passes_of
from foretell.backends.onnx_format.external import check_external
from foretell.backends.onnx_format.file import read_onnx
from foretell.backends.opened import Opened
from foretell.config import ModelSettings


def open_onnx(path: Path, settings: ModelSettings) -> Opened:
    """Opens the model file at `path`; nothing is loaded yet.

    External data may lie beside or below the file, and counts towards the digest. Raises `InvalidModel` for a file
    that is no ONNX model, `UnsafeModel` for external data outside its folder or another digest than
    `settings.sha256`, `InvalidSetting` and `Unavailable` for passes, a precision or a device that are not there.
    """
    refuse_tuning(settings, "ONNX Runtime", takes=("precision", "optimizations", "threads", "runtime"))
    passes = passes_of(settings)
    found = read_onnx(path)
    files = check_external(path, found.externals)
    for device in settings.devices:
        check_device(device, settings.runtime)
    precision = found.precision or "fp32"
    check_precision(settings, precision)
    sha256 = digest_with(path, files)
    check_digest(sha256, settings.sha256, path)
    return Opened(
        model=OnnxModel(path, found, settings, precision),
        name=path.stem,
        digest=sha256,
        source=str(path),
        framework="onnx",
        size_bytes=sum(file.stat().st_size for file in (path, *set(files.values()))),
        passes=passes,
    )
