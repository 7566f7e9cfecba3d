"""What an address means as DATA."""

from __future__ import annotations

import pytest
from s3_server import S3Server

from foretell.batch.inputs import changed, find_inputs
from foretell.batch.job import Data
from foretell.batch.output import open_output
from foretell.errors import InvalidInput, InvalidSetting


@pytest.fixture
def filled(s3: S3Server) -> S3Server:
    for key in ("in/a.parquet", "in/b.parquet", "in/deep/er/c.parquet", "in/_old/d.parquet", "in/.e.parquet",
                "in/_foretell.json", "in/note.txt", "in/note.md", "inside.parquet", "in two/ü%41 [1].csv",
                "in/"):  # fmt: skip
        s3.put("box", key, key.encode())
    return s3


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ("s3://box/in", ["in/a.parquet", "in/b.parquet", "in/deep/er/c.parquet"]),
        ("s3://box/in/", ["in/a.parquet", "in/b.parquet", "in/deep/er/c.parquet"]),
        ("s3://box/in/a.parquet", ["in/a.parquet"]),
        ("s3://box/in/_old/d.parquet", ["in/_old/d.parquet"]),
        ("s3://box/in/*.parquet", ["in/a.parquet", "in/b.parquet"]),
        ("s3://box/in/[!a].parquet", ["in/b.parquet"]),
        ("s3://box/in/**/?.parquet", ["in/_old/d.parquet", "in/a.parquet", "in/b.parquet", "in/deep/er/c.parquet"]),
        ("s3://box/*/a.parquet", ["in/a.parquet"]),
        ("s3://box/*.parquet", ["inside.parquet"]),
        ("s3://box/in two/ü%41 [1].csv", ["in two/ü%41 [1].csv"]),
        ("s3://box/in two", ["in two/ü%41 [1].csv"]),
    ],
)
def test_an_address_means_objects(filled: S3Server, data: str, keys: list[str]) -> None:
    _, files = find_inputs(data)
    assert [file.path for file in files] == [f"s3://box/{key}" for key in keys]
    assert [file.size for file in files] == [len(key.encode()) for key in keys]
    assert [changed(file) for file in files] == [""] * len(files)


def test_the_kind_is_told_by_the_names(filled: S3Server) -> None:
    assert find_inputs("s3://box/in")[0] == "parquet"
    assert find_inputs("s3://box/in two")[0] == "csv"
    with pytest.raises(InvalidInput, match="several kinds of file"):
        find_inputs("s3://box")
    with pytest.raises(InvalidInput, match=r"the kind of file is not known; .*got \.md"):
        find_inputs("s3://box/in/note.md")


@pytest.mark.parametrize("data", ["s3://box/none", "s3://box/in/*.csv", "s3://box/i"])
def test_nothing_there_is_an_error(filled: S3Server, data: str) -> None:
    with pytest.raises(InvalidInput, match="there is no such file"):
        find_inputs(data)


def test_another_content_of_the_same_size_is_a_change(filled: S3Server) -> None:
    _, (file,) = find_inputs("s3://box/in/a.parquet")
    filled.put("box", "in/a.parquet", b"x" * file.size)
    assert changed(file) == "it was written again"
    filled.put("box", "in/a.parquet", b"x")
    assert changed(file) == f"it had {file.size} bytes, and has 1"
    filled.buckets["box"].clear()
    assert changed(file) == "the object is gone"


def test_a_wrong_address_is_no_path(s3: S3Server) -> None:
    with pytest.raises(InvalidSetting, match="no such kind of object storage"):
        find_inputs("ftp://box/in")


@pytest.mark.parametrize(
    ("out", "data", "said"),
    [("in/a.parquet", "in/a.parquet", "take the place of the data"), ("in/s.csv", "in", "be part of the data"),
     ("in/deep/s.csv", "in/", "be part of the data"), ("in/_s.csv", "in", None), ("in/out", "in", None),
     ("inside.csv", "in", None)],
)  # fmt: skip
def test_an_output_lies_apart_from_its_data(filled: S3Server, out: str, data: str, said: str | None) -> None:
    kind, files = find_inputs(f"s3://box/{data}")
    output = open_output(f"s3://box/{out}")
    if said is None:
        output.check_apart(f"s3://box/{data}", Data(kind, tuple(files)))
    else:
        with pytest.raises(InvalidSetting, match=f"the output would {said}"):
            output.check_apart(f"s3://box/{data}", Data(kind, tuple(files)))
