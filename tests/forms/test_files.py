"""Data files for the command line."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from foretell.errors import InvalidInput
from foretell.forms import to_batch, to_python
from foretell.forms.files import read
from foretell.types import DataType, ModelSpec, TensorSpec


@pytest.fixture
def write(tmp_path):
    def make(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


@pytest.mark.parametrize(
    ("name", "content", "value"),
    [
        ("a.json", "[[1, 2.5], [3, 4]]", [[1, 2.5], [3, 4]]),
        ("a.json", '{"a": [1, null]}', {"a": [1, None]}),
        ("a.json", '{"inputs": 5}', {"inputs": 5}),
        ("a.jsonl", '{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ("a.ndjson", "[1]\r\n[2]", [[1], [2]]),
        ("a.csv", "a,b,c,d\n1,1.5,x,\n,2,,7\n", {"a": [1, None], "b": [1.5, 2.0], "c": ["x", None], "d": [None, 7]}),
        (
            "a.csv",
            '\ufeffa,b\r\n"x, ""y""\nz",nan\r\n',
            {"a": ['x, "y"\nz'], "b": [pytest.approx(np.nan, nan_ok=True)]},
        ),
        ("a.csv", "a\n1\n\n3\n", {"a": [1, None, 3]}),
        ("a.csv", "a,b\n", {"a": [], "b": []}),
        ("a.csv", "a\n1_000\n", {"a": ["1_000"]}),
        ("a.tsv", "a\tb\n1\t2\n", {"a": [1], "b": [2]}),
        ("a.txt", "one\r\n\nthree\u2028x\n", ["one", "", "three\u2028x"]),
        ("A.TXT", "é", ["é"]),
        ("a.txt", "", []),
    ],
)
def test_files_become_values(write, name, content, value):
    assert read(write(name, content)) == value


def test_a_table_of_lists_without_rows():
    spec = ModelSpec((TensorSpec("x", DataType.FP32, (2,)), TensorSpec("t", DataType.BYTES, (3,))))
    table = pa.table({"x": pa.array([], pa.list_(pa.float64())), "t": pa.array([], pa.list_(pa.string()))})
    batch = to_batch(table, spec).batch
    assert (batch.rows, batch.dense("x").shape, batch.columns["t"].row_shape) == (0, (0, 2), (3,))


def test_parquet_becomes_a_table(write):
    table = pa.table({"a": [1, None], "b": [[1.5, 2], [3, 4]]})
    file = pa.BufferOutputStream()
    parquet.write_table(table, file)
    content = file.getvalue().to_pybytes()
    assert read(write("a.parquet", content)).equals(table)
    for damaged in (b"", content[:-20], b"PAR1" * 4):
        with pytest.raises(InvalidInput, match="not a readable Parquet file"):
            read(write("a.parquet", damaged))


def test_the_format_may_be_named_and_json_given_as_text(write):
    assert read(write("data", "a,b\n1,2\n"), "csv") == {"a": [1], "b": [2]}
    assert read(" [1, 2]") == [1, 2]
    assert read('{"a": 1}') == {"a": 1}
    assert read(str(write("a.json", "5"))) == 5


def test_a_request_body_becomes_arrays():
    body = (
        '{"id": "1", "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]},'
        ' {"name": "n", "datatype": "UINT8", "shape": [1, 2], "data": [[1, 2]]},'
        ' {"name": "b", "datatype": "BF16", "shape": [1], "data": [1.5]},'
        ' {"name": "e", "datatype": "INT64", "shape": [0, 2], "data": []},'
        ' {"name": "s", "datatype": "BYTES", "shape": [1, 1], "data": ["hi"]}]}'
    )
    made = read(body)
    assert {name: (array.dtype.kind, array.tolist()) for name, array in made.items()} == {
        "x": ("f", [[1, 2], [3, 4]]), "n": ("u", [[1, 2]]), "b": ("f", [1.5]), "e": ("i", []), "s": ("O", [["hi"]])
    }  # fmt: skip
    assert made["x"].dtype == np.float32
    assert to_python(to_batch({"s": made["s"]}, ModelSpec()).batch.columns["s"]) == [["hi"]]


def test_arrays_and_images(tmp_path):
    from PIL import Image

    array = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read(tmp_path / "a.npy"), array)
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    np.testing.assert_array_equal(read(tmp_path / "colour.png"), pixels)
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "grey.png")
    assert read(tmp_path / "grey.png").shape == (2, 4)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    assert read(tmp_path / "photo.jpg").shape == (2, 4, 3)


def _tensor(**changes):
    import json

    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0], **changes}
    return json.dumps({"inputs": [tensor]})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "{", "a.json: not valid JSON"),
        ("a.json", '{\n"a": 1,\n]', "a.json, line 3: not valid JSON"),
        ("a.json", "", "the JSON is empty"),
        ("a.jsonl", '{"a": 1}\nx\n', "a.jsonl, line 2: not valid JSON"),
        ("a.csv", "", "a.csv, line 1: the file is empty"),
        ("a.csv", "a,a\n1,2\n", "two columns are named 'a'"),
        ("a.csv", "a,b\n1,2\n1\n", "a.csv, line 3: the line has another number of cells.*expected 2, got 1"),
        ("a.csv", 'a\n"x"y\n', "a.csv, line 2: not valid CSV"),
        ("a.csv", b"a\nx\n\xff\n", "a.csv, line 3: not UTF-8 text"),
        ("a.npy", b"junk", "a.npy: not a readable .npy file"),
        ("a.png", b"junk", "a.png: not a readable image"),
        ("a.orc", b"", "the kind of file is not known; expected .*.jsonl.*, got .orc"),
        ("a.json", _tensor(datatype="FP31"), "input 'x': unknown datatype 'FP31'; did you mean 'FP3?"),
        ("a.json", _tensor(shape=[2]), r"does not hold the data; expected shape \[2\], got 1 values"),
        ("a.json", _tensor(shape=[-1]), "no valid shape"),
        ("a.json", _tensor(data=["a"]), "wrong datatype; expected FP32, got strings"),
        ("a.json", _tensor(datatype="INT8", data=[None]), "nulls or rows of different length"),
        ("a.json", _tensor(data=[[1], [2, 3]]), "nulls or rows of different length"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(write, name, content, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        read(write(name, content))
    assert "\n" not in str(caught.value)


def test_files_that_run_code_or_are_not_there_are_refused(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(InvalidInput, match=r"o\.npy: not a readable \.npy file"):
        read(tmp_path / "o.npy")
    np.savez(tmp_path / "z.npz", np.zeros(1))
    with pytest.raises(InvalidInput, match="archive of arrays"):
        read(tmp_path / "z.npz", "npy")
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read(tmp_path / "none.json")
    with pytest.raises(InvalidInput, match="unknown format 'cvs'; did you mean 'csv'"):
        read(tmp_path / "none.json", "cvs")


@pytest.mark.parametrize("header", ["5.1,3.5,1.4,0.2", "1,2,3,4", "-1e5, 7", "3", "1,,2"])
def test_a_first_line_of_numbers_is_no_header(write, header):
    with pytest.raises(InvalidInput, match=r"a\.csv, line 1: the first line holds numbers.*put one on top"):
        read(write("a.csv", f"{header}\n{header}\n"))


@pytest.mark.parametrize("header", ["1st,2nd", "x1,2", "1_0,1_1"])
def test_names_that_only_hold_digits_beside_others_are_a_header(write, header):
    assert list(read(write("a.csv", f"{header}\n7,8\n"))) == header.split(",")
