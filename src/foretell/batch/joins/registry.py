"""Which formats can be joined, and how."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from foretell.batch.joins.lines import join_csv, join_jsonl
from foretell.batch.joins.parquet import join_parquet
from foretell.batch.joins.written import Written
from foretell.errors import ModelError

_JOINS = {"parquet": join_parquet, "csv": join_csv, "jsonl": join_jsonl}


def join(kind: str, parts: Iterable[Path], path: Path) -> tuple[int, str]:
    """Makes one file at `path` with the rows of `parts`, in order; how many bytes it has, and their SHA-256.

    There may be no parts. Each is there until the next is asked for. The same parts give the same bytes. Raises
    `ModelError` where they do not go together.
    """
    with Written(path) as joined:
        try:
            _JOINS[kind](parts, joined)
        except ValueError as error:
            fix = "run with --fresh to start again"
            raise ModelError(f"the parts cannot be joined: {error}", where=str(path.parent), fix=fix) from None
    return joined.size, joined.sha256
