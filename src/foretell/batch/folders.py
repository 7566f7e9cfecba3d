"""Columns that stand in the names of folders, `year=2020/month=01/part.parquet`, as Hive and Spark lay them out.

They are there for who names one; nobody is given one that was not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote

import numpy as np

from foretell.batch.block import Block
from foretell.batch.job import Condition
from foretell.batch.shards import InputFile
from foretell.batch.sources.csv_arrow import text_cells
from foretell.batch.sources.jsonl import null_cells
from foretell.batch.sources.source import Field
from foretell.batch.where import holds
from foretell.forms.cells import Cells

_NOTHING = ("", "__HIVE_DEFAULT_PARTITION__")
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def folder_kinds(files: Sequence[InputFile]) -> dict[str, str]:
    """The columns that the folders of all files tell, and what each is: "int" where all values are whole numbers, else
    "text"."""
    kinds = dict.fromkeys(_values(files[0].path), "") if files else {}
    for file in files:
        values = _values(file.path)
        kinds = {name: _common(kind, values[name]) for name, kind in kinds.items() if name in values}
        if not kinds:
            break
    return {name: kind or "text" for name, kind in kinds.items()}


def folder_fields(kinds: Mapping[str, str]) -> tuple[Field, ...]:
    return tuple(Field(name, "number" if kind == "int" else "text", f"{kind} in the names of folders")
                 for name, kind in kinds.items())  # fmt: skip


def folder_cells(kind: str, name: str, path: str, rows: int) -> Cells:
    """A column of a file: the same in each row."""
    value = _values(path)[name]
    if value is None:
        return null_cells(rows, kind)
    return np.full(rows, int(value), np.int64) if kind == "int" else text_cells([value] * rows)


def with_folders(block: Block, kinds: Mapping[str, str], columns: Sequence[str], path: str) -> Block:
    """The block with those of its `columns` that stand in the names of its folders."""
    told = {name: folder_cells(kinds[name], name, path, block.rows) for name in columns if name in kinds}
    read = {name: block.columns[name] for name in columns if name not in kinds}
    return replace(block, columns={**read, **told})


def without_match(files: Sequence[InputFile], kinds: Mapping[str, str], where: Sequence[Condition]) -> frozenset[int]:
    """The numbers of the files of which no row can be asked for, by the names of their folders."""
    mine = [each for each in where if each.column in kinds]
    return frozenset(
        number for number, file in enumerate(files)
        if not all(holds(folder_cells(kinds[each.column], each.column, file.path, 1), each)[0] for each in mine)
    )  # fmt: skip


def _values(path: str) -> dict[str, str | None]:
    """By name, what the folders of a file tell."""
    found: dict[str, str | None] = {}
    for part in path.split("/")[:-1]:
        name, mark, value = part.partition("=")
        if name and mark:
            found[_decoded(name)] = None if value in _NOTHING else _decoded(value)
    return found


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text


def _common(kind: str, value: str | None) -> str:
    if value is None or kind == "text":
        return kind
    return "int" if _WHOLE.fullmatch(value) else "text"
