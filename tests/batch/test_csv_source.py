"""CSV as people really have it: with pyarrow and without, the answers are the same, and a bad line harms no other."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.batch.inputs import find_inputs
from foretell.batch.job import Data
from foretell.batch.shards import ShardSize
from foretell.batch.sources import marks
from foretell.batch.sources.registry import open_source
from foretell.batch.sources.source import Source
from foretell.errors import InvalidInput
from foretell.types import DataType, ModelSpec, TensorSpec

WHOLE = ShardSize()
KINDS = {"x": DataType.FP64, "i": DataType.INT64, "u": DataType.UINT64, "f": DataType.BOOL}
SPEC = ModelSpec(inputs=tuple(TensorSpec(name, datatype) for name, datatype in KINDS.items()))


@contextmanager
def pyarrow_hidden(hidden: bool) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if hidden:
            patch.setitem(sys.modules, "pyarrow", None)
        yield


@contextmanager
def source_of(content: bytes, suffix: str = ".csv", folder: Path | None = None) -> Iterator[Source]:
    with tempfile.TemporaryDirectory() as own:
        path = (folder or Path(own)) / f"data{suffix}"
        path.write_bytes(content)
        kind, files = find_inputs(path)
        source = open_source(Data(kind, tuple(files)))
        source.suit(SPEC, {name: (name,) for name in KINDS})
        yield source
        source.close()


def cells(column: Any) -> list[Any]:
    made = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    made = [None if cell is np.ma.masked else cell for cell in made]
    made = [cell.item() if isinstance(cell, np.generic) else cell for cell in made]
    return [None if isinstance(cell, float) and np.isnan(cell) else cell for cell in made]


def read(
    content: bytes,
    columns: list[str] | None = None,
    size: ShardSize = WHOLE,
    rows: int = 100,
    suffix: str = ".csv",
) -> tuple[dict[str, list[Any]], dict[int, str]]:
    """The cells of every column, None for a null or a NaN; and the bad rows by number. Asserts that numbers go on."""
    with source_of(content, suffix) as source:
        columns = columns or [field.name for field in source.fields()]
        made: dict[str, list[Any]] = {name: [] for name in columns}
        bad: dict[int, str] = {}
        at = 0
        for shard in source.shards(size):
            assert shard.first_row == at
            for block in source.read(shard, columns, rows):
                assert block.first_row == at
                at += block.rows
                for name in columns:
                    made[name] += cells(block.columns[name])
                bad.update({block.first_row + row: error.message for row, error in block.bad.items()})
        assert all(len(each) == at for each in made.values())
        return made, bad


def both(content: bytes, columns: list[str] | None = None, **more: Any) -> tuple[dict[str, list[Any]], dict[int, str]]:
    """The answer, which is the same with pyarrow and without. Bad rows without the path."""
    answers = []
    for hidden in (False, True):
        with pyarrow_hidden(hidden):
            made, bad = read(content, columns, **more)
            named = {row: message[message.index("data.") :].partition(", ")[2] for row, message in bad.items()}
            kept = {name: [None if row in bad else c for row, c in enumerate(column)] for name, column in made.items()}
            answers.append((kept, named))
    assert str(answers[0]) == str(answers[1])
    return answers[0]


GOOD: dict[str, tuple[bytes, dict[str, list[Any]]]] = {
    "plain": (b"x,t\n1.5,a\n-2,b\n", {"x": [1.5, -2.0], "t": ["a", "b"]}),
    "quoted": (b'x,t\n"1.5","a,b"\n2,"c"\n', {"x": [1.5, 2.0], "t": ["a,b", "c"]}),
    "doubled quotes": (b'x,t\n1,"say ""so"""\n2,""""\n', {"x": [1, 2], "t": ['say "so"', '"']}),
    "line ends in cells": (
        b'x,t\n1,"two\nlines"\n2,"a\r\nb\n\nc"\n',
        {"x": [1, 2], "t": ["two\nlines", "a\r\nb\n\nc"]},
    ),
    "CRLF": (b"x,t\r\n1,a\r\n2,b\r\n", {"x": [1, 2], "t": ["a", "b"]}),
    "BOM": (b"\xef\xbb\xbfx,t\n1,a\n", {"x": [1], "t": ["a"]}),
    "BOM and quotes": (b'\xef\xbb\xbf"x","a,b"\n1,a\n', {"x": [1], "a,b": ["a"]}),
    "empty cells": (b'x,t,i\n,,\n1,,2\n"","",""\n', {"x": [None, 1, None], "t": [None] * 3, "i": [None, 2, None]}),
    "blank cells": (b"x,t,i\n ,  , \n", {"x": [None], "t": ["  "], "i": [None]}),
    "spaces": (b"x,i,t\n 1.5 , 7 , a \n\t2,\t3,b\n", {"x": [1.5, 2], "i": [7, 3], "t": [" a ", "b"]}),
    "signs": (b"x,i\n+1.5,+7\n-0,-0\n", {"x": [1.5, 0], "i": [7, 0]}),
    "NaN and infinities": (
        b"x,i\nNaN,nan\ninf,1\n-Infinity,2\nnan,3\n",
        {"x": [None, float("inf"), float("-inf"), None], "i": [None, 1, 2, 3]},
    ),
    "names of nothing are text": (
        b"t,x\nNA,1\nnull,2\nN/A,3\nNone,4\n",
        {"t": ["NA", "null", "N/A", "None"], "x": [1, 2, 3, 4]},
    ),
    "integers": (b"i,u\n007,18446744073709551615\n5.0,1\n1e3,2\n", {"i": [7, 5, 1000], "u": [2**64 - 1, 1, 2]}),
    "large integers": (b"i\n9007199254740993\n-9223372036854775808\n", {"i": [9007199254740993, -(2**63)]}),
    "forms of floats": (b"x\n1.\n.5\n1E5\n1e-400\n1e400\n", {"x": [1, 0.5, 1e5, 0, float("inf")]}),
    "other digits": ("x,i\n٣,٣\n".encode(), {"x": [3], "i": [3]}),
    "booleans": (
        b"x,i,u,f,t\nTrue,true,TRUE,true,True\nFalse,false,FALSE,False,false\n,,, FALSE ,\n",
        {
            "x": [1, 0, None],
            "i": [1, 0, None],
            "u": [1, 0, None],
            "f": [True, False, False],
            "t": ["True", "false", None],
        },
    ),
    "booleans among numbers": (b"x,i,f\nTrue,7,\n1.5,false,true\n", {"x": [1, 1.5], "i": [7, 0], "f": [None, True]}),
    "no line end": (b"x,t\n1,a\n2,b", {"x": [1, 2], "t": ["a", "b"]}),
    "no line end, quoted": (b'x,t\n1,a\n2,"b"', {"x": [1, 2], "t": ["a", "b"]}),
    "a last cell that is empty": (b"x,t\n1,", {"x": [1], "t": [None]}),
    "a CR at the end": (b"x,t\n1,a\r", {"x": [1], "t": ["a"]}),
    "blank lines": (b"x,t\n\n1,a\n\r\n\n2,b\n\n", {"x": [1, 2], "t": ["a", "b"]}),
    "blank lines of one column": (b"x\n1\n\n2\n\n", {"x": [1, None, 2, None]}),
    "header only": (b"x,t\n", {"x": [], "t": []}),
    "header without line end": (b"x,t", {"x": [], "t": []}),
    "quotes within": (
        b'x,t\n1,5" pipe\n2,6" pipe "of" it\n3,c\n',
        {"x": [1, 2, 3], "t": ['5" pipe', '6" pipe "of" it', "c"]},
    ),
    "brackets": (b"x,t\n,(nan)\n1,Mr (of)\n", {"x": [None, 1], "t": ["(nan)", "Mr (of)"]}),
    "a key that looks like a number": (
        b"t,x\n007,1\n1_000,2\n0x10,3\n",
        {"t": ["007", "1_000", "0x10"], "x": [1, 2, 3]},
    ),
    "NUL": (b"t,x\na\x00b,1\n", {"t": ["a\x00b"], "x": [1]}),
    "a very long line": (b"t,x\n" + b"y" * 300_000 + b",1\nz,2\n", {"t": ["y" * 300_000, "z"], "x": [1, 2]}),
    "names with quotes and line ends": (b'"a ""b""\nc",x\n1,2\n', {'a "b"\nc': ["1"], "x": [2]}),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_files_are_read_as_they_are_meant(name: str) -> None:
    content, wanted = GOOD[name]
    made, bad = both(content)
    assert bad == {}
    assert made == wanted


@pytest.mark.parametrize("name", [name for name in GOOD if "one column" not in name])
def test_tabs_do_the_same(name: str) -> None:
    content, wanted = GOOD[name]
    if name in ("quoted", "BOM and quotes", "spaces"):
        pytest.skip("commas within cells, or tabs around them")
    made, bad = both(content.replace(b",", b"\t"), suffix=".tsv")
    assert bad == {}
    assert made == {key.replace(",", "\t"): column for key, column in wanted.items()}


COUNT = "the line has another number of cells than the header; expected 2, got "
BAD: dict[str, tuple[bytes, dict[int, str]]] = {
    "too many cells": (b"x,t\n1,a\n2,b,c\n3,d\n", {1: "line 3: " + COUNT + "3"}),
    "too few cells": (b"x,t\n1\n2,b\n", {0: "line 2: " + COUNT + "1"}),
    "a line of spaces": (b"x,t\n1,a\n  \n", {1: "line 3: " + COUNT + "1"}),
    "no number": (b"x,t\n1,a\nabc,b\n3,c\n", {1: "line 3: column 'x': not a number: 'abc'"}),
    "an underscore": (
        b"x,i\n1_000,1\n2,1_0\n3,3\n",
        {0: "line 2: column 'x': not a number: '1_000'", 1: "line 3: column 'i': not a number: '1_0'"},
    ),
    "hexadecimal": (
        b"x,i\n1,0x10\n0x1p3,2\n",
        {0: "line 2: column 'i': not a number: '0x10'", 1: "line 3: column 'x': not a number: '0x1p3'"},
    ),
    "a payload of NaN": (b"x,t\nnan(1),a\n1,b\n", {0: "line 2: column 'x': not a number: 'nan(1)'"}),
    "a fraction": (
        b"i,t\n1.5,a\n2,b\n",
        {0: "line 2: column 'i': a number has a fraction; expected an integer, got 1.5"},
    ),
    "out of range": (
        b"i,u\n9223372036854775808,1\n1,-1\n",
        {
            0: "line 2: column 'i': a number is out of range; got 9223372036854775808",
            1: "line 3: column 'u': a number is out of range; got -1",
        },
    ),
    "not UTF-8": (b"x,t\n1,a\n2,\xff\n3,c\n", {1: "line 3: column 't': not UTF-8 text"}),
    "not UTF-8 in a number": (b"x,t\n1\xff,a\n2,b\n", {0: "line 2: column 'x': not UTF-8 text"}),
    "text behind a quote": (b'x,t\n1,"a"b\n2,c\n', {0: "line 2: not valid CSV: ',' expected after '\"'"}),
    "an open quote": (b'x,t\n1,a\n2,"b\n3,c\n', {1: "line 3: not valid CSV: a quote is never closed"}),
    "a lone CR": (b"x,t\n1,a\rb\n2,c\n", {0: "line 2: not valid CSV: a carriage return outside of quotes"}),
    "behind lines within cells": (b'x,t\n1,"a\n\nb"\n\ny,c\n', {1: "line 6: column 'x': not a number: 'y'"}),
    "neither true nor false": (
        b"x,f\nTRUe,true\nTrue,1\n1,\xff\n",
        {
            0: "line 2: column 'x': not a number: 'TRUe'",
            1: "line 3: column 'f': neither true nor false: '1'",
            2: "line 4: column 'f': neither true nor false: '\ufffd'",
        },
    ),
    "long cells are shortened": (
        b"x\n" + b"y" * 99 + b"\n1\n",
        {0: "line 2: column 'x': not a number: '" + "y" * 40 + " ...'"},
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_and_the_rest_goes_on(name: str) -> None:
    content, wanted = BAD[name]
    made, bad = both(content)
    assert bad == wanted
    good = [row for row in range(len(next(iter(made.values())))) if row not in bad]
    assert all(any(made[name][row] is not None for name in made) for row in good)


def test_what_is_bad_in_a_column_that_nobody_reads_harms_nobody() -> None:
    made, bad = both(b"x,t\n1,\xff\n2,b\n", ["x"])
    assert (made, bad) == ({"x": [1, 2]}, {})


def test_lines_are_counted_over_shards() -> None:
    lines = [b'1,"a\nb"' if row % 3 else b"\n1,c" for row in range(200)]
    lines[150] = b"oops,d"
    content = b"x,t\n" + b"\n".join(lines) + b"\n"
    _, bad = both(content, size=ShardSize(rows=16))
    line = content[: content.index(b"oops")].count(b"\n") + 1
    assert bad == {150: f"line {line}: column 'x': not a number: 'oops'"}


HEADERS: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "line 1: the file is empty; expected a header line of distinct names"),
    "BOM only": (b"\xef\xbb\xbf", "line 1: the file is empty"),
    "an empty first line": (b"\nx,t\n1,2\n", "line 1: the first line is empty"),
    "two of one name": (b"x,t,x\n1,2,3\n", "line 1: two columns are named 'x'"),
    "numbers": (b"1,2\n3,4\n", "line 1: the first line holds numbers"),
    "UTF-16": ("x,t\n1,2\n".encode("utf-16"), "got UTF-16 text; save it as UTF-8"),
    "UTF-16 without a mark": ("x,t\n1,2\n".encode("utf-16-le"), "line 1: this is no CSV"),
    "gzip": (gzip.compress(b"x,t\n1,2\n"), "got compressed by gzip; let its name end in .gz"),
    "Latin-1": ("\xe4,t\n1,2\n".encode("latin-1"), "line 1: not UTF-8 text; save it as UTF-8"),
    "semicolons": (b"x;t\n1;2\n", "expected ',', got ';'; say --delimiter ';'"),
    "Excel's first line": (b"sep=;\nx;t\n1;2\n", "tells Excel what stands between the cells"),
    "tabs": (b"x\tt\n1\t2\n", "name it .tsv, or say --delimiter tab"),
    "an open quote": (b'"x,t\n1,2\n', "line 1: not valid CSV: a quote is never closed"),
}


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("name", HEADERS)
def test_a_file_without_a_good_header_is_refused(name: str, hidden: bool) -> None:
    content, message = HEADERS[name]
    with (
        pyarrow_hidden(hidden),
        source_of(content) as source,
        pytest.raises(InvalidInput, match=r"data\.csv, ") as info,
    ):
        source.fields()
    assert message in str(info.value)


def test_a_quote_that_is_never_closed_stops_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MOST_RECORD_BYTES", 2**20)
    content = b"x,t\n1,a\n" + b'2,"b\n' + b"3,c\n" * 600_000
    with source_of(content) as source, pytest.raises(InvalidInput, match=r"data\.csv, line 3: a record does not end"):
        source.shards(ShardSize())


def test_pyarrow_reads_what_is_plain() -> None:
    """Else all that is said here of the fast way would be said of nothing."""
    with source_of(b'x,t\n1,"a,b"\n,\n') as source:
        (block,) = list(source.read(source.shards(ShardSize())[0], ["x", "t"], 9))
        assert isinstance(block.columns["t"], pyarrow.StringArray)
        from foretell.batch.sources.csv_arrow import columns_of
        from foretell.batch.sources.records import find_records

        data = b'1,"a,b"\n,\n'
        records = find_records(data, final=True, delimiter=b",")
        assert columns_of(data, records, ["x", "t"], {"x": "float", "t": "text"}, b",", set()) is not None


def test_pyarrow_reads_columns_of_booleans_once_it_has_seen_them() -> None:
    from foretell.batch.sources.csv_arrow import columns_of
    from foretell.batch.sources.records import find_records

    known = set[str]()
    wanted = {"x": "float", "i": "int", "f": "flag", "t": "text"}
    for content, held, x in (
        (b"True,3,true,True\n,4,,False\n", {"x"}, [1, None]),
        (b"FALSE,5,false,a\n", {"x"}, [0]),
        (b"2.5,false,true,True\n", {"i"}, [2.5]),
        (b"3.5,6,true,True\n", set(), [3.5]),
        (b",,,\n" + b"True,True,,\n" * 999, {"x", "i"}, [None] + [1] * 999),
    ):
        records = find_records(content, final=True, delimiter=b",")
        made = columns_of(content, records, list(wanted), wanted, b",", known)
        assert made is not None and cells(made["x"]) == x
        assert made["x"].dtype == np.float64 and made["i"].dtype == np.int64
        assert known == held


def joined(parts: list[str], most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(parts), max_size=most).map("".join)


CELLS = joined(['"', ",", "\n", "\r\n", "a", "1", " ", "é"], 6)


@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=30),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 40),
    st.integers(1, 7),
)
def test_shards_of_any_csv_are_what_the_csv_module_reads(
    table: list[tuple[str, str]], quoting: int, end: str, most: int, rows: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerow(["one", "two"])
    writer.writerows(table)
    content = text.getvalue()
    whole = list(csv.reader(io.StringIO(content, newline=""), strict=True))[1:]
    made, bad = both(content.encode(), ["one", "two"], size=ShardSize(rows=most * 4, bytes=most * 16), rows=rows)
    assert bad == {}
    assert list(zip(made["one"], made["two"], strict=True)) == [tuple(c or None for c in row) for row in whole if row]


@given(joined(['"', ",", "\n", "\r\n", "a", "1"], 40), st.integers(1, 5))
def test_any_text_is_read_as_the_csv_module_does_or_has_bad_lines(text: str, rows: int) -> None:
    content = "one,two\n" + text
    made, bad = both(content.encode(), ["one", "two"], size=ShardSize(rows=16), rows=rows)
    try:
        whole = [row for row in csv.reader(io.StringIO(content, newline=""), strict=True) if row][1:]
    except csv.Error:
        assert bad
        return
    wrong = {number for number, row in enumerate(whole) if len(row) != 2}
    assert set(bad) == wrong
    assert len(made["one"]) == len(whole)
    good = [row for number, row in enumerate(whole) if number not in wrong]
    read_good = [pair for number, pair in enumerate(zip(made["one"], made["two"], strict=True)) if number not in wrong]
    assert read_good == [tuple(cell or None for cell in row) for row in good]


NUMBERS = (
    st.text(st.sampled_from(list("0123456789.+-eE_xXnaif() \t")), max_size=8)
    | st.floats().map(repr)
    | st.integers().map(str)
)


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_any_text_is_a_number_where_python_says_so(texts: list[str]) -> None:
    content = "x,k\n" + "".join(f"{text},k\n" for text in texts)
    made, bad = both(content.encode(), ["x"])
    for row, text in enumerate(texts):
        try:
            value = float(text) if "_" not in text else None
        except ValueError:
            value = None
        if value is None and text.strip():
            assert row in bad, text
        else:
            wanted = None if value is None or np.isnan(value) else value
            assert row not in bad
            assert made["x"][row] == wanted


@given(st.lists(NUMBERS, min_size=1, max_size=8), st.sampled_from("iu"))
def test_integers_are_the_same_with_pyarrow_and_without(texts: list[str], kind: str) -> None:
    both((f"{kind},k\n" + "".join(f"{text},k\n" for text in texts)).encode(), [kind])
