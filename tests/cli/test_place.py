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
    return str(caught.value)


def test_why_there_can_be_none_is_told(tmp_path: Path) -> None:
    assert "the page cannot be written: this is a folder" in refused(tmp_path)
    assert f"the page cannot be written: there is no folder {tmp_path / 'no'}" in refused(tmp_path / "no" / "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert f"the page cannot be written: this user may not write into {tmp_path}" in refused(tmp_path / "a")
