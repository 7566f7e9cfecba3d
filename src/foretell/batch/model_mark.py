"""What of a model decides the answers, told without loading it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import os
import sys
from collections.abc import Collection
from pathlib import Path

from foretell.backends.artefact_bytes import bytes_of as artefact_bytes
from foretell.backends.artefact_bytes import digest_of
from foretell.backends.artefact_file import find_artefact, name_of
from foretell.backends.python.source import is_reference
from foretell.batch.sinks.registry import SUFFIXES
from foretell.certificate import SUFFIX as CERTIFICATE
from foretell.config import ModelSettings

_RUNTIMES = (
    "onnxruntime", "scikit-learn", "skops", "numpy", "torch", "xgboost", "xgboost-cpu", "lightgbm", "catboost",
    "openvino", "tensorflow", "keras", "jax", "transformers", "sentence-transformers",
)  # fmt: skip
_NO_WEIGHTS = (CERTIFICATE, ".prom", *SUFFIXES)
"""Endings of what `foretell verify` and jobs write: a job whose output is named as its model is the same job again."""
MOST_ROWS = 32_768
_DECIDE = (
    "precision", "optimizations", "batch", "pad", "device", "runtime", "model_class", "task", "compile",
    "batch_invariant",
)  # fmt: skip


def mark_of(source: str | Path | None, settings: ModelSettings, name: str, number: str) -> dict[str, str]:
    """Digest of the file, runtimes, and settings that decide answers; the same while nothing of them changes.

    `source` None: a live object, of which name and version tell all there is. Raises `InvalidModel` where there is no
    such file.
    """
    if source is None:
        return {"name": name, "version": number}
    decide = {key: repr(getattr(settings, key)) for key in _DECIDE}
    runtimes = {f"runtime {package}": number for package, number in _versions(_RUNTIMES).items()}
    return {"source": str(source), "name": name, "version": number, "file": _digest(source), **decide, **runtimes}


def called(source: str) -> str:
    """The name of a model that nobody has named: of its file, or of its class. Raises `InvalidModel`."""
    if is_reference(source) and not Path(source).exists():
        return source.rpartition(":")[2].rpartition(".")[2]
    return name_of(find_artefact(Path(source)))


def bytes_of(source: str | Path) -> int:
    """Of the file of a model, with those beside it that may hold its weights; 0 for what only code tells."""
    text = str(source)
    if is_reference(text) and not Path(text).exists():
        return 0
    path = find_artefact(Path(source))
    return artefact_bytes(path) + sum(each.stat().st_size for each in _beside(path))


def settings_for(settings: ModelSettings, device: str, threads: int, most_rows: int) -> ModelSettings:
    """Of one engine of a job: one replica on one device, with calls as large as they may be."""
    return dataclasses.replace(
        settings, device=device, replicas=1, max_replicas=None, threads=settings.threads or threads,
        max_batch_size=most_rows, executor="auto", cache_size=0, cache_ttl_s=None, call_timeout_s=None, timeout_s=None,
    )  # fmt: skip


def _versions(packages: Collection[str]) -> dict[str, str]:
    """Of installed packages, from the names of the folders of their metadata; "" where there is none.

    `importlib.metadata` imports a parser of e-mail for it, which takes longer than all else that is found out here.
    """
    found = dict.fromkeys(packages, "")
    folders = {name.replace("-", "_"): name for name in packages}
    for path in sys.path:
        with contextlib.suppress(OSError):
            for entry in os.listdir(path or "."):
                name = folders.get(entry.partition("-")[0])
                if name and not found[name] and entry.endswith((".dist-info", ".egg-info")):
                    found[name] = entry.partition("-")[2].rpartition(".")[0]
    return found


def _digest(source: str | Path) -> str:
    """Of the file, with the sizes and times of those beside it that may hold its weights."""
    text = str(source)
    if is_reference(text) and not Path(text).exists():
        return _digest_of_module(text.rpartition(":")[0])
    path = find_artefact(Path(source))
    stats = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in _beside(path)]
    return f"{digest_of(path).removeprefix('sha256:')} {hashlib.sha256(repr(stats).encode()).hexdigest()}"


def _beside(path: Path) -> list[Path]:
    if path.is_dir():
        return []
    near = path.parent.glob(f"{path.stem}*")
    return sorted(each for each in near if each.is_file() and each != path and not each.name.endswith(_NO_WEIGHTS))


def _digest_of_module(name: str) -> str:
    if name.endswith(".py"):
        return digest_of(Path(name))
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    file = Path(found.origin) if found is not None and found.origin else None
    return digest_of(file) if file is not None and file.is_file() else ""  # loading it tells what is wrong
