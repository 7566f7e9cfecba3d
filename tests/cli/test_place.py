"""What is told where a command can put no file of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foretell.cli.place import check_place
from foretell.errors import InvalidSetting


def refused(path: Path) -> str:
    with pytest.raises(InvalidSetting, match="name another file with --out") as caught:
        check_place(path, "the page", lambda _: True, "--out")
    return caught.value.message


def test_why_there_can_be_none_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path) == "the page cannot be written: this is a folder"
    assert refused(tmp_path / "no" / "a") == f"the page cannot be written: there is no folder {tmp_path / 'no'}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert refused(tmp_path / "a") == f"the page cannot be written: this user may not write into {tmp_path}"
