"""A virtual environment for each peer, made on first use and kept beside the benchmarks."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.process import ROOT, Unavailable

FOLDER = ROOT / "benchmarks" / ".envs"
_INSTALL_S = 900.0


def python_of(name: str, requirements: Sequence[str], alone: Sequence[str] = ()) -> Path:
    """The Python of an environment with `requirements` and the ONNX Runtime that foretell is measured with.

    `alone`: packages that are wanted without what they ask for, such as one that holds nothing but a model's weights.
    Raises `Unavailable` where they cannot be installed.
    """
    wanted = (*requirements, f"onnxruntime=={version('onnxruntime')}")
    digest = hashlib.sha256("\n".join((sys.version, *wanted, *alone)).encode()).hexdigest()[:8]
    folder = FOLDER / f"{name}-{digest}"
    python, complete = folder / "bin" / "python", folder / ".complete"
    if complete.exists():
        return python
    print(f"   installing {', '.join((*wanted, *alone))} into {folder.relative_to(ROOT)} ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        _run([sys.executable, "-m", "venv", str(folder)])
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*install, *wanted])
        if alone:
            _run([*install, "--no-deps", *alone])
    except (subprocess.SubprocessError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Unavailable(f"{name} cannot be installed: {_reason(error)}") from error
    complete.touch()
    return python


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = str(error.stderr)
        lines = [line for line in said.splitlines() if line.startswith("ERROR")]
        return lines[-1] if lines else said.strip()[-200:]
    return str(error)
