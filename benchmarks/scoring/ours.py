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
def _has_score() -> bool:
    command = [sys.executable, "-m", "foretell", "score", "--help"]
    return subprocess.run(command, check=False, capture_output=True, timeout=60, env=environment({})).returncode == 0


def needs_score() -> None:
    """Raises `Unavailable` where this foretell cannot score."""
    if not _has_score():
        raise Unavailable("needs `foretell score`")
