"""Data files for the command line: JSON, JSON Lines, CSV, npy, text, images without pandas or pyarrow, and Parquet.

Big data sets have sources of their own; these files are read whole.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foretell.columns import Array, Ragged
from foretell.errors import InvalidInput, nearest
from foretell.extras import needs
from foretell.forms.images import decode
from foretell.forms.raw import Flags
from foretell.forms.values import to_column, to_numpy
from foretell.forms.words import FLAGS, Words
from foretell.types import DataType, TensorSpec

_SUFFIXES = {
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".npy": "npy",
    ".txt": "txt", ".parquet": "parquet", ".png": "image", ".jpg": "image", ".jpeg": "image",
}  # fmt: skip
FORMATS = tuple(sorted(set(_SUFFIXES.values())))


def read(source: str | Path, fmt: str | None = None) -> object:
    """The value in a file, or in a JSON text.

    `source`: a path; a str that starts like JSON ("[", "{", a quote) is the data itself. `fmt`: one of `FORMATS`, else
    the file's ending tells. Raises `InvalidInput` for a file that cannot be read, and what `parse` raises.
    """
    if isinstance(source, str) and looks_like_json(source):
        return parse_json(source.encode(), "the given JSON")
    path = Path(source)
    kind = format_of(path, fmt)
    return parse(content_of(path), kind, str(path))


def looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("[", "{", '"') and bool(text.strip())


def format_of(path: Path, fmt: str | None = None) -> str:
    """The format of a file: the one named, else by its ending. Raises `InvalidInput` where there is no such format."""
    kind = fmt or _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InvalidInput("the kind of file is not known", where=str(path), got=path.suffix or "no ending",
                           expected=", ".join(_SUFFIXES), fix="name its format")  # fmt: skip
    if kind not in _READERS:
        raise InvalidInput(f"unknown format {kind!r}", where=str(path), fix=nearest(kind, FORMATS))
    return kind


def content_of(path: Path) -> bytes:
    """Raises `InvalidInput` where the file cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def parse(content: bytes, kind: str, where: str) -> object:
    """The value of a file's content, in a form that `to_batch` takes.

    json: any value, or an Open Inference Protocol request (a dict of arrays); jsonl: a list of its lines; csv, tsv: a
    dict of columns (numbers and booleans where every cell is one, an empty cell is null), named by the first line; npy:
    the array;
    txt: a list of lines; parquet: an Arrow table; images: as `foretell.forms.images` decodes them. Raises
    `InvalidInput` naming the file and the line, `MissingExtra` for images without Pillow and Parquet without pyarrow.
    """
    return _READERS[kind](content, where)


def parse_json(content: bytes, where: str) -> object:
    """The value of a JSON text; a request body of the Open Inference Protocol becomes a dict of arrays."""
    value = _loads(content, where)
    if isinstance(value, dict) and isinstance(value.get("inputs"), list) and _is_request(value["inputs"]):
        return {tensor["name"]: _tensor(tensor, where) for tensor in value["inputs"]}
    return value


def _loads(content: bytes, where: str) -> Any:
    import orjson

    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        what = "not valid JSON" if content.strip() else "the JSON is empty"
        place = f"{where}, line {error.lineno}" if content.count(b"\n") else where
        raise InvalidInput(f"{what}: {error.msg}", where=place) from None


def _is_request(inputs: list[Any]) -> bool:
    return bool(inputs) and all(isinstance(tensor, dict) and "name" in tensor and "data" in tensor for tensor in inputs)


def _tensor(tensor: Mapping[str, Any], where: str) -> Array:
    """One tensor of a request as an array in its shape and datatype, object strings for BYTES."""
    place = f"{where}, input {tensor['name']!r}"
    named = str(tensor.get("datatype"))
    known = [datatype.value for datatype in DataType]
    if named not in known:
        raise InvalidInput(f"unknown datatype {named!r}", where=place, fix=nearest(named, known))
    if named not in (DataType.BOOL, DataType.BYTES) and _has_flags(tensor["data"]):
        raise InvalidInput("wrong datatype", where=place, expected=named, got="booleans", fix="give numbers")
    # NumPy has no bfloat16; its numbers are read as float32 and fitted when the model is known.
    datatype = DataType.FP32 if named == DataType.BF16 else DataType(named)
    column = to_column(tensor["data"], where=place, spec=TensorSpec("data", datatype))
    if column.valid is not None or isinstance(column, Ragged):
        raise InvalidInput("the data has nulls or rows of different length", where=place, expected="a full tensor")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise InvalidInput("no valid shape", where=place, expected="a list of sizes", got=repr(shape))
    array = to_numpy(column)
    if math.prod(shape) != array.size:
        raise InvalidInput("the shape does not hold the data", where=place, expected=f"shape {shape}",
                           got=f"{array.size} values")  # fmt: skip
    return array.reshape(shape).view(Flags) if datatype is DataType.BOOL else array.reshape(shape)


def _has_flags(data: Any) -> bool:
    return type(data) is bool or (isinstance(data, list) and any(map(_has_flags, data)))


def _json_lines(content: bytes, where: str) -> object:
    lines = ((number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip())
    return [_loads(line, f"{where}, line {number}") for number, line in lines]


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput("not UTF-8 text", where=f"{where}, line {line}", fix="save it as UTF-8") from None


def _lines(content: bytes, where: str) -> object:
    lines = _text(content, where).replace("\r\n", "\n").split("\n")
    return lines[:-1] if not lines[-1] else lines


def _separated(delimiter: str) -> Callable[[bytes, str], object]:
    def read_table(content: bytes, where: str) -> object:
        reader = csv.reader(io.StringIO(_text(content, where), newline=""), delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            rows: list[list[str]] = []
            for row in reader:
                row = row or [""] * (len(header) == 1)
                if row and len(row) != len(header):
                    raise InvalidInput("the line has another number of cells than the header", expected=len(header),
                                       where=f"{where}, line {reader.line_num}", got=len(row))  # fmt: skip
                if row:
                    rows.append(row)
        except csv.Error as error:
            raise InvalidInput(f"not valid CSV: {error}", where=f"{where}, line {reader.line_num}") from None
        check_header(header, f"{where}, line 1")
        columns = zip(*rows, strict=True) if rows else ([] for _ in header)
        return {name: _typed(list(cells)) for name, cells in zip(header, columns, strict=True)}

    return read_table


def check_header(header: list[str], where: str) -> None:
    if header and all(_all_are(float, [cell]) for cell in header if cell.strip()) and any(map(str.strip, header)):
        raise InvalidInput("the first line holds numbers, where the names of the columns belong", where=where,
                           expected=f"a header line of {len(header)} distinct names", got=_shortened(",".join(header)),
                           fix="put one on top, so that no row is taken for it")  # fmt: skip
    twice = next((name for name in header if header.count(name) > 1), None)
    if not header or twice is not None:
        what = f"two columns are named {twice!r}" if header else "the file is empty"
        raise InvalidInput(what, where=where, expected="a header line of distinct names")


def _shortened(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[:most] + " ..."


def _typed(cells: list[str]) -> list[Any]:
    """One type per column: integers, else floats, booleans alone or among them, else text. An empty cell is null."""
    given = [cell.strip() for cell in cells if cell.strip()]
    for kind in (int, float):
        if _all_are(kind, given):
            return [kind(cell) if cell.strip() else None for cell in cells]
    numbers = [cell for cell in given if cell not in FLAGS]
    for kind in (int, float):
        if len(numbers) < len(given) and _all_are(kind, numbers):
            return Words(cells, [_value(cell.strip(), kind) for cell in cells])
    return [cell or None for cell in cells]


def _value(cell: str, kind: Callable[[str], int | float]) -> bool | int | float | None:
    return (FLAGS[cell] if cell in FLAGS else kind(cell)) if cell else None


def _all_are(kind: Callable[[str], Any], cells: list[str]) -> bool:
    # Python reads "1_000" as a number; a file that holds it means text.
    try:
        return all("_" not in cell and kind(cell) is not None for cell in cells)
    except ValueError:
        return False


def _npy(content: bytes, where: str) -> object:
    try:
        array: object = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InvalidInput(f"not a readable .npy file: {error}", where=where,
                           fix="save a plain array of numbers or strings with numpy.save") from None  # fmt: skip
    if not isinstance(array, np.ndarray):
        raise InvalidInput("this is an archive of arrays", where=where, expected="one array (.npy)")
    return array


def _parquet(content: bytes, where: str) -> object:
    with needs("pyarrow", "data", "reading Parquet"):
        import pyarrow as pa
        from pyarrow import parquet
    try:
        return parquet.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        text = " ".join(str(error).split())[:200]
        raise InvalidInput(f"not a readable Parquet file: {text}", where=where) from None


_READERS: Mapping[str, Callable[[bytes, str], object]] = {
    "json": parse_json, "jsonl": _json_lines, "csv": _separated(","), "tsv": _separated("\t"), "npy": _npy,
    "txt": _lines, "parquet": _parquet, "image": decode,
}  # fmt: skip
