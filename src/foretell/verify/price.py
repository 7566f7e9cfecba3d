"""What batch-invariant mode costs in speed: the same model with and without it, each in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from foretell.backends.artefact_file import has_threads
from foretell.verify.as_jobs import answer_of, write_rows
from foretell.verify.asked import Asked

_FLAG = "--batch-invariant"
_SIZES = (1, 128)
_SECONDS = "0.1"


def price_of(asked: Asked) -> dict[str, float] | None:
    """How many times as long a row takes, alone and in calls of 128, on as many threads. None where the mode is not a
    flag of this command, and so cannot be left out."""
    if _FLAG not in asked.flags:
        return None
    plain = [word for word in asked.flags if word != _FLAG]
    if has_threads(asked.source) and not asked.settings.threads:
        plain += ["--threads", "1"]  # what the mode has by itself
    with tempfile.TemporaryDirectory(prefix="foretell-verify-") as folder:
        data = Path(folder) / "rows.jsonl"
        write_rows(asked.rows, data, numbered=False)
        without, with_it = (_rates(asked, data, flags) for flags in (plain, asked.flags))
    return {f"rows in calls of {size}": without[size] / with_it[size] for size in _SIZES}


def _rates(asked: Asked, data: Path, flags: Sequence[str]) -> dict[int, float]:
    sizes = [word for size in _SIZES for word in ("--size", str(size))]
    words = ["bench", asked.words, "--data", str(data), *sizes, "--seconds", _SECONDS, "--json", *flags]
    points: list[Any] = orjson.loads(answer_of(words))["points"]
    return {point["size"]: point["rows_per_s"] for point in points}
