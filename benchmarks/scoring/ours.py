"""Our command, as a person would type it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.process import Unavailable, environment

OURS = "foretell"


def score(model: Path, source: str | Path, out: Path, *flags: str) -> list[str | Path]:
    return [sys.executable, "-m", "foretell", "score", model, source, "-o", out, *flags]


@cache
def _help() -> str:
    command = [sys.executable, "-m", "foretell", "score", "--help"]
    environ = {**environment({}), "COLUMNS": "300"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environ)
    return done.stdout if done.returncode == 0 else ""


def needs_score(source: str = "parquet") -> None:
    """Raises `Unavailable` where this foretell cannot score what `source` is: one of the choices of --format."""
    _, found, rest = _help().partition("--format ")
    if not found or source not in rest.partition("]")[0].partition("choices: ")[2].split(", "):
        raise Unavailable(f"needs `foretell score --format {source}`")
