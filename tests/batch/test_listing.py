"""What DATA means where rows are files, and what of a folder is noticed when it changes."""

from __future__ import annotations

import os

import pytest

from foretell.batch.inputs import changed, find_inputs, kind_of
from foretell.batch.job import Data, Wish, differences, made_from
from foretell.batch.listing import Listing
from foretell.errors import InvalidInput


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.jpg", "b/10.jpg", "a.PNG", "c.jpeg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"not looked into")
    return tmp_path


def test_a_folder_of_images_is_one_input(folder):
    kind, files = find_inputs(folder)
    assert kind == "images"
    (file,) = files
    assert (file.path, file.size) == (str(folder), 4 * 15)
    assert file.stamp.startswith("4 files, ")
    assert list(Listing.of(folder).names()) == ["a.PNG", "b/10.jpg", "b/2.jpg", "c.jpeg"]


@pytest.mark.parametrize("name", [".hidden.jpg", "_temporary.jpg", ".cache/1.jpg", "_foretell/1.jpg"])
def test_names_that_are_hidden_are_no_rows(folder, name):
    _, before = find_inputs(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    assert find_inputs(folder)[1] == before


def test_links_to_folders_are_not_followed(folder):
    (folder / "again").symlink_to(folder)
    assert len(Listing.of(folder)) == 4


def test_a_folder_of_texts_is_one_input_and_a_text_is_many_rows(tmp_path):
    (tmp_path / "one.txt").write_text("x")
    assert find_inputs(tmp_path)[0] == "texts"
    assert find_inputs(tmp_path / "one.txt")[0] == "lines"
    assert find_inputs(f"{tmp_path}/*.txt")[0] == "lines"
    assert find_inputs(tmp_path, "lines")[0] == "lines"
    assert find_inputs(tmp_path / "one.txt", "texts")[0] == "texts"


def test_other_files_beside_images_need_a_word(folder):
    (folder / "labels.csv").write_text("a\n1\n")
    with pytest.raises(
        InvalidInput, match=r"several kinds of file; expected one, got 1 of csv, 4 of images; .*--format"
    ):
        find_inputs(folder)
    kind, (file,) = find_inputs(folder, "images")
    assert (kind, file.stamp[:8]) == ("images", "4 files,")
    with pytest.raises(InvalidInput, match="there are no texts in the folder"):
        find_inputs(folder, "texts")


def test_a_note_beside_the_data_is_no_data(folder):
    before = find_inputs(folder)
    (folder / "README.txt").write_text("x")
    assert find_inputs(folder) == before


def test_one_image_by_itself(folder):
    kind, files = find_inputs(folder / "a.PNG")
    assert (kind, [file.path for file in files]) == ("images", [str(folder / "a.PNG")])
    assert len(find_inputs(f"{folder}/b/*.jpg")[1]) == 2


def test_many_images_are_named_by_their_folder(tmp_path):
    for number in range(1001):
        (tmp_path / f"{number}.jpg").touch()
    with pytest.raises(InvalidInput, match=r"named one by one; expected at most 1,000, got 1,001; name their folder"):
        find_inputs(f"{tmp_path}/*.jpg")


def written(path):
    path.write_bytes(b"not looked inno")
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "b" / "2.jpg").unlink(), "it had 4 files, and has 3"),
        (lambda folder: (folder / "b" / "3.jpg").touch(), "it had 4 files, and has 5"),
        (lambda folder: written(folder / "c.jpeg"), "one of its 4 files was written again or renamed"),
        (
            lambda folder: (folder / "c.jpeg").rename(folder / "d.jpeg"),
            "one of its 4 files was written again or renamed",
        ),
    ],
)
def test_a_folder_that_changed_is_another_input(folder, change, told):
    def job():
        kind, files = find_inputs(folder)
        data = Data(kind, tuple(files))
        return data, made_from(data, Wish("parquet"), {})

    before, parts = job()
    assert job() == (before, parts)
    change(folder)
    now, other = job()
    assert other["inputs"] != parts["inputs"]

    class Before:  # what `differences` looks at of a job
        made_from = parts
        data = before

    assert differences(Before, other, now) == f"the input changed ({folder}: {told})"


def test_a_folder_that_is_gone_is_noticed_at_once(folder):
    (file,) = find_inputs(folder)[1]
    assert changed(file) == ""
    folder.rename(folder.with_name("moved"))
    assert changed(file) == "there is no such folder any more"


def test_a_name_that_is_no_text_is_listed(tmp_path):
    raw = os.fsencode(tmp_path) + b"/\xff.jpg"
    with open(raw, "wb"):
        pass
    assert [os.fsencode(name) for name in Listing.of(tmp_path).names()] == [b"\xff.jpg"]
    assert find_inputs(tmp_path)[0] == "images"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("day-1/part-2.parquet", "parquet"),
        ("a.b/2026-11-23.10.CSV", "csv"),
        ("x.csv.gz", "csv"),
        ("x.parquet.gz", None),
        ("x.tar.gz", "archives"),
        ("a.csv/x", None),
        (".csv", None),
        (".csv.gz", None),
        ("..jsonl", None),
    ],
)
def test_the_end_of_a_name_tells_what_a_file_is(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind
