"""ONNX files, on ONNX Runtime. Reads what the file says, refuses what is unsafe, and only then involves the runtime."""

from __future__ import annotations

from pathlib import Path

from foretell.backends.onnx.external import check_external, digest
from foretell.backends.onnx.file import read_onnx
from foretell.backends.onnx.model import OnnxModel
from foretell.backends.onnx.session import check_device, check_precision, passes_of
from foretell.backends.opened import Opened
from foretell.config import ModelSettings
from foretell.errors import UnsafeModel


def open_onnx(path: Path, settings: ModelSettings) -> Opened:
    """Opens the model file at `path`; nothing is loaded yet.

    External data may lie beside or below the file, and counts towards the digest. Raises `InvalidModel` for a file
    that is no ONNX model, `UnsafeModel` for external data outside its folder or another digest than
    `settings.sha256`, `InvalidSetting` and `Unavailable` for passes, a precision or a device that are not there.
    """
    passes = passes_of(settings)
    found = read_onnx(path)
    files = check_external(path, found.externals)
    for device in settings.devices:
        check_device(device)
    precision = found.precision or "fp32"
    check_precision(settings, precision)
    sha256 = digest(path, files)
    if settings.sha256 is not None and sha256 != f"sha256:{settings.sha256.lower().removeprefix('sha256:')}":
        fix = "this is another model than the one you named: do not open it before you know why"
        raise UnsafeModel("the SHA-256 is not the one given", where=str(path), got=sha256, fix=fix)
    return Opened(
        model=OnnxModel(path, found, settings, precision),
        name=path.stem,
        digest=sha256,
        source=str(path),
        framework="onnx",
        size_bytes=sum(file.stat().st_size for file in (path, *set(files.values()))),
        passes=passes,
    )
