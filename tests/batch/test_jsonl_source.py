"""JSON Lines as people really have them: a bad line harms no other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.batch.inputs import find_inputs
from foretell.batch.job import Data
from foretell.batch.shards import ShardSize
from foretell.batch.sources.registry import open_source
from foretell.batch.sources.source import Source
from foretell.errors import InvalidInput
from foretell.types import DataType, ModelSpec, TensorSpec

Rows = list[tuple[Any, ...]]

WHOLE = ShardSize()
KINDS = {"x": DataType.FP32, "i": DataType.INT64, "t": DataType.BYTES, "f": DataType.BOOL, "v": DataType.FP32}
SPEC = ModelSpec(inputs=tuple(TensorSpec(name, datatype) for name, datatype in KINDS.items()))


@pytest.fixture(autouse=True, params=["with pyarrow", "without"])
def pyarrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "pyarrow", None)


def source_of(folder: Path, *contents: bytes) -> Source:
    for number, content in enumerate(contents):
        (folder / f"{number}.jsonl").write_bytes(content)
    kind, files = find_inputs(folder)
    source = open_source(Data(kind, tuple(files)))
    source.suit(SPEC, {name: (name,) for name in KINDS})
    return source


def read(source: Source, columns: list[str], size: ShardSize = WHOLE) -> tuple[list[tuple[Any, ...]], dict[int, str]]:
    rows: list[tuple[Any, ...]] = []
    bad: dict[int, str] = {}
    for shard in source.shards(size):
        for block in source.read(shard, columns, 10):
            bad.update({block.first_row + row: error.message for row, error in block.bad.items()})
            rows += zip(*([plain(cell) for cell in block.columns[name]] for name in columns), strict=True)
    return rows, {row: message.partition(".jsonl, ")[2] for row, message in bad.items()}


def plain(cell: Any) -> Any:
    if cell is np.ma.masked or (isinstance(cell, (float, np.floating)) and np.isnan(cell)):
        return None
    return cell.item() if isinstance(cell, np.generic) else cell


def test_fields_that_are_missing_are_null(tmp_path: Path) -> None:
    source = source_of(tmp_path, b'{"x": 1, "t": "a", "k": 7}\n{"k": "b"}\n{"x": null, "t": null, "i": 3}\n')
    assert [field.name for field in source.fields()] == ["x", "t", "k", "i"]
    rows, bad = read(source, ["x", "t", "k", "i"])
    assert rows == [(1.0, "a", 7, None), (None, None, "b", None), (None, None, None, 3)]
    assert bad == {}


def test_lists_are_vectors(tmp_path: Path) -> None:
    source = source_of(tmp_path, b'{"v": [1, 2.5], "k": [1]}\n{"v": [3], "k": null}\n')
    rows, bad = read(source, ["v", "k"])
    assert (rows, bad) == ([([1, 2.5], [1]), ([3], None)], {})
    assert [field.kind for field in source.fields()] == ["other", "other"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"x": 1', "line 3: not valid JSON"),
        (b'{"x": NaN}', "line 3: not valid JSON"),
        (b'{"x": 1}}', "line 3: not valid JSON"),
        (b'{"x": 1},', "line 3: not valid JSON"),
        (b'{"x": 1} {"x": 2}', "line 3: not valid JSON"),
        (b'{"t": "\xff"}', "line 3: not valid JSON"),
        (b"[" * 5000, "line 3: not valid JSON"),
        (b"[1]", "line 3: expected an object, got a list"),
        (b"7", "line 3: expected an object, got a number"),
        (b"null", "line 3: expected an object, got null"),
        (b'{"x": "1"}', "line 3: column 'x': expected a number, got a string"),
        (b'{"i": {"a": 1}}', "line 3: column 'i': expected an integer, got an object"),
        (b'{"i": 1.5}', "line 3: column 'i': a number has a fraction; expected an integer, got 1.5"),
        (b'{"i": 1e30}', "line 3: column 'i': a number is out of range; got 1e+30"),
        (b'{"t": 1}', "line 3: column 't': expected a string, got a number"),
        (b'{"f": 1}', "line 3: column 'f': expected a boolean, got a number"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(tmp_path: Path, line: bytes, message: str) -> None:
    good = b'{"x": 1, "i": 1, "t": "a", "f": true}\n'
    source = source_of(tmp_path, good + b"\n" + line + b"\n" + good)
    rows, bad = read(source, ["x", "i", "t", "f"])
    assert rows[0] == rows[2] == (1.0, 1, "a", True)
    assert list(bad) == [1] and bad[1].startswith(message)


def test_a_boolean_among_numbers_is_one_of_them(tmp_path: Path) -> None:
    rows, bad = read(source_of(tmp_path, b'{"x": 1.5, "i": true}\n{"x": false, "i": 2}\n{"x": true}\n'), ["x", "i"])
    assert (rows, bad) == ([(1.5, 1), (0.0, 2), (1.0, None)], {})


def test_an_integer_stays_whole_among_floats(tmp_path: Path) -> None:
    rows, bad = read(source_of(tmp_path, b'{"i": 9007199254740993}\n{"i": 2.0}\n{"i": null}\n'), ["i"])
    assert (rows, bad) == ([(9007199254740993,), (2,), (None,)], {})


@pytest.mark.parametrize(
    "content", [b'{"x":1}\r\n{"x":2}\r\n', b'\xef\xbb\xbf{"x":1}\n{"x":2}', b'\n \n{"x":1}\n\t\r\n{"x":2}\n\n']
)
def test_line_ends_blank_lines_and_a_bom(tmp_path: Path, content: bytes) -> None:
    assert read(source_of(tmp_path, content), ["x"]) == ([(1.0,), (2.0,)], {})


def test_a_string_with_quotes_does_not_join_lines(tmp_path: Path) -> None:
    content = b'{"t": "\\"", "x": 1}\n{"t": "\\n", "x": 2}\n'
    assert read(source_of(tmp_path, content), ["t", "x"]) == ([('"', 1.0), ("\n", 2.0)], {})


def test_keys_are_text_where_they_are_to_be(tmp_path: Path) -> None:
    cells = [b"7", b"0.5", b'"a"', b"true", b"null", b'[1, "b"]', b"18446744073709551616"]
    files = source_of(tmp_path, b"".join(b'{"k": %s}\n' % cell for cell in cells)).files
    rows, bad = read(open_source(Data("jsonl", tuple(files), {"text_keys": True})), ["k"])
    assert [str(row[0]) for row in rows[:6]] == ["7", "0.5", "a", "true", "None", '[1,"b"]']
    assert bad == {6: "line 7: column 'k': expected a number of at most 64 bits or a string, got a larger number"}


def test_no_line_at_all_is_an_object(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"0\.jsonl, line 2: expected an object, got a list"):
        source_of(tmp_path, b"\n[1]\n[2]\n").fields()


def test_a_first_line_longer_than_what_is_looked_at(tmp_path: Path) -> None:
    content = b'{"t": "' + b"y" * 400_000 + b'", "x": 1}\n{"x": 2}\n'
    source = source_of(tmp_path, content)
    assert [field.name for field in source.fields()] == ["t", "x"]
    assert [row[0] for row in read(source, ["x"])[0]] == [1.0, 2.0]


def test_a_field_that_one_file_never_has_is_named(tmp_path: Path) -> None:
    source = source_of(tmp_path, b'{"x": 1, "t": "a"}\n', b'{"x": 2}\n')
    source.check(["x"])
    with pytest.raises(InvalidInput, match=r"1\.jsonl: field 't' is in none of the first lines"):
        source.check(["x", "t"])


def test_lines_are_counted_over_shards(tmp_path: Path) -> None:
    lines = [b'{"x": 1}'] * 300
    lines[251] = b"oops"
    lines[100] = b'\n{"x": 2}'
    _, bad = read(source_of(tmp_path, b"\n".join(lines) + b"\n"), ["x"], ShardSize(rows=16))
    assert list(bad) == [251] and bad[251].startswith("line 253: not valid JSON: ")
