"""Files of text: the rows of one after those of the other."""

from __future__ import annotations

from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from foretell.batch.joins.written import Written


def join_csv(parts: Iterable[Path], joined: Written) -> None:
    """The header of the first part holds for all."""
    for number, part in enumerate(parts):
        with part.open("rb") as file:
            if number:
                _pass_header(file)
            joined.copy(file)


def join_jsonl(parts: Iterable[Path], joined: Written) -> None:
    for part in parts:
        with part.open("rb") as file:
            joined.copy(file)


def _pass_header(file: BufferedReader) -> None:
    """Goes to where the first row begins; a name may hold line ends within quotes."""
    quotes = file.readline().count(b'"')
    while quotes % 2:
        quotes += file.readline().count(b'"')
