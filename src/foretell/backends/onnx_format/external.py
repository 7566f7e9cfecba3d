"""Weights outside the model file: allowed beside it or below, nowhere else.

A location in the file is untrusted. An absolute path, "..", or a link that leaves the folder would let a model read
any file of the machine (CVE-2024-27318, CVE-2025-51480, CVE-2026-27489), and the runtime's own tag for addresses in
memory would let it read the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from foretell.backends.onnx_format.file import External
from foretell.errors import InvalidModel, UnsafeModel

_MEMORY_TAG = "_ORT_MEM_ADDR_"
_DRIVE = re.compile(r"^[A-Za-z]:")


def check_external(path: Path, externals: Iterable[External]) -> dict[str, Path]:
    """The files that the model at `path` needs, by location. Raises `UnsafeModel` and `InvalidModel`."""
    folder = path.parent.resolve()
    files: dict[str, Path] = {}
    for external in externals:
        if external.location not in files:
            files[external.location] = _resolve(path, folder, external.location)
        size = files[external.location].stat().st_size
        end = external.offset + (external.length or 0)
        if end > size:
            got = f"{size} bytes"
            what = f"the external data {external.location!r} is too short"
            raise InvalidModel(what, where=str(path), expected=f"at least {end} bytes", got=got)
    return files


def _resolve(path: Path, folder: Path, location: str) -> Path:
    where = str(path)
    fix = "keep the data beside the model file, under a plain relative name"
    shown = repr(location[:200])
    if not location or "\0" in location:
        raise InvalidModel("the location of external data is no file name", where=where, got=shown)
    parts = location.split("/")
    outside = location.startswith("/") or "\\" in location or _DRIVE.match(location) or ".." in parts
    if outside or _MEMORY_TAG in parts:
        raise UnsafeModel("its external data lies outside its folder", where=where, got=shown, fix=fix)
    try:
        resolved = (folder / location).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        fix = "copy that file beside the model"
        raise InvalidModel("its external data is not there", where=where, got=shown, fix=fix) from error
    if not resolved.is_relative_to(folder):
        raise UnsafeModel("its external data is a link that leaves its folder", where=where, got=shown, fix=fix)
    if not resolved.is_file():
        raise InvalidModel("its external data is no regular file", where=where, got=shown)
    return resolved
