"""The demo fills its own folder, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foretell.demo.folder import DemoFolder
from foretell.errors import InvalidSetting


def test_a_new_folder_and_an_empty_one_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("deep/new", "empty"):
        assert DemoFolder.claim(tmp_path / name).path == tmp_path / name


def test_a_folder_of_an_earlier_demo_is_taken_again(tmp_path: Path) -> None:
    DemoFolder.claim(tmp_path / "demo").new("models", "one", "1", "model.onnx").write_bytes(b"1")
    assert DemoFolder.claim(tmp_path / "demo").path == tmp_path / "demo"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidSetting, match="holds something else"):
        DemoFolder.claim(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_another_user_has_filled_is_refused(tmp_path: Path) -> None:
    """A link in it could lead to any file of ours."""
    DemoFolder.claim(tmp_path / "demo")
    os.chown(tmp_path / "demo", 65534, 65534)
    with pytest.raises(InvalidSetting, match="belongs to another user"):
        DemoFolder.claim(tmp_path / "demo")


def test_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InvalidSetting, match="cannot be used"):
        DemoFolder.claim(file)
    assert file.read_text() == "mine"
