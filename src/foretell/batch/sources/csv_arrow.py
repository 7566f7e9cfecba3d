"""The fast way through CSV, by pyarrow, where it gives exactly what the slow way gives. Where in doubt: None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foretell.batch.sources.csv_cells import cells_of
from foretell.batch.sources.records import Records
from foretell.forms.cells import Cells
from foretell.forms.words import FLAGS

_WORDS = {word.encode() for word in FLAGS}
_HEAD = 64
_NUMBERS = ("float", "int", "uint")


def columns_of(
    data: bytes, records: Records, names: Sequence[str], wanted: Mapping[str, str], delimiter: bytes,
    in_words: set[str],
) -> dict[str, Cells] | None:  # fmt: skip
    """The `wanted` columns (name -> kind) of all rows, or None where pyarrow is not there or may read otherwise.

    `in_words`: columns of numbers that hold words for booleans, as far as is known; kept up to date.
    """
    if not records.regular or not wanted or not len(records.row_ends):
        return None
    whole = [name for name, kind in wanted.items() if kind in ("int", "uint")]
    if whole and (b"0x" in data or b"0X" in data):
        return None  # pyarrow takes hexadecimal numbers
    try:
        import pyarrow as pa
        from pyarrow import csv
    except ImportError:
        return None
    types = {"float": pa.float64(), "int": pa.int64(), "uint": pa.uint64(), "flag": pa.bool_()}
    numbers = {name: str(number) for number, name in enumerate(names)}

    def read() -> Any:
        kinds = {name: "flag" if name in in_words else kind for name, kind in wanted.items()}
        return csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=list(numbers.values())),
            csv.ParseOptions(delimiter=delimiter.decode(), newlines_in_values=True, ignore_empty_lines=len(names) != 1),
            csv.ConvertOptions(
                include_columns=[numbers[name] for name in wanted],
                column_types={numbers[name]: types.get(kind, pa.string()) for name, kind in kinds.items()},
                null_values=[""],
                true_values=[word for word, value in FLAGS.items() if value],
                false_values=[word for word, value in FLAGS.items() if not value],
                strings_can_be_null=True,
            ),
        )

    try:
        table = read()
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        found = _in_words(data, records, names, wanted, delimiter)
        if found == in_words:
            return None  # a line of it is bad: the slow way says which
        in_words.clear()
        in_words.update(found)
        try:
            table = read()
        except (pa.ArrowInvalid, pa.ArrowKeyError):
            return None
    if table.num_rows != len(records.row_ends):
        return None
    made = {name: _cells(table[numbers[name]], kind) for name, kind in wanted.items()}
    if any(kind == "float" and np.isnan(made[name]).any() for name, kind in wanted.items()) and b"(" in data.lower():
        return None if b"nan(" in data.lower() else made
    return made


def text_cells(cells: list[str | None]) -> Cells:
    """Text in the form in which the fast way gives it, wherever there is pyarrow."""
    try:
        import pyarrow as pa
    except ImportError:
        return cells
    return pa.array(cells, pa.string())


def _in_words(
    data: bytes, records: Records, names: Sequence[str], wanted: Mapping[str, str], delimiter: bytes
) -> set[str]:
    """The columns of numbers in whose first cells there are words for booleans, and nothing else."""
    head = records.head(_HEAD)
    rows, _ = cells_of(data[: int(head.ends[-1])], head, len(names), delimiter)
    found = set[str]()
    for at, name in enumerate(names):
        given = {cell for row in rows if (cell := row[at].strip())}
        if wanted.get(name) in _NUMBERS and given and given <= _WORDS:
            found.add(name)
    return found


def _cells(column: Any, kind: str) -> Cells:
    import pyarrow as pa

    array = column.combine_chunks()
    if kind in _NUMBERS and pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8()).cast({"float": pa.float64(), "int": pa.int64(), "uint": pa.uint64()}[kind])
    if kind == "float":
        return array.to_numpy(zero_copy_only=False)
    if kind not in ("int", "uint"):
        return array
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False)
    absent = array.is_null().to_numpy(zero_copy_only=False)
    return np.ma.MaskedArray(array.fill_null(0).to_numpy(zero_copy_only=False), absent)
