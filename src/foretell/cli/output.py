"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import orjson

from foretell.cli.notes import visible

_WIDEST = 100
_STDOUT, _STDERR = 1, 2


@contextmanager
def results_alone() -> Iterator[None]:
    """What is printed within, as models and their libraries do, goes to standard error: standard output is for what
    was asked for."""
    sys.stdout.flush()
    kept = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):  # a model may have closed it
            sys.stdout.flush()
        os.dup2(kept, _STDOUT)
        os.close(kept)


def print_json(value: Any) -> None:
    """One JSON document, which any encoding of standard output can carry; NumPy arrays and scalars become lists and
    numbers."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=_plain).decode()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), indent=2)
    sys.stdout.write(text + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """A table as wide as the terminal; numbers to the right. Without `columns` it has no head."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(title) if title else None, title_justify="left", header_style="bold", show_header=bool(columns)
    )
    for index, column in enumerate(columns or [""] * len(rows[0])):
        numeric = bool(rows) and all(isinstance(row[index], (int, float)) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*[_cell(value) for value in row])
    Console().print(table)


def print_text(text: str) -> None:
    """A paragraph, wrapped between words to the width of the terminal, and not wider than is read well."""
    print(textwrap.fill(text, min(width(), _WIDEST), break_long_words=False, break_on_hyphens=False))


def width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def _cell(value: object) -> str:
    from rich.markup import escape

    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, (list, np.ndarray)):
        return escape("[" + ", ".join(_cell(item) for item in value) + "]")
    return escape("\n".join(map(visible, str(value).split("\n"))))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"{type(value).__name__} has no JSON form")
