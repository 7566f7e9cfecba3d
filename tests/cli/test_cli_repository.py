"""REPO/NAME on the command line: one model of a repository, with its versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_build
import pytest

ROW = "[5.1, 3.5, 1.4, 0.2]"


@pytest.fixture
def repository(folder: Path) -> Path:
    """`repo/flowers/{2,10}`, of which the newest alone can be opened, and `repo/others/1`."""
    for place in ("flowers/2", "flowers/10", "others/1"):
        (folder / "repo" / place).mkdir(parents=True)
        onnx_build.save(onnx_build.iris_onnx(zipmap=False), folder / "repo" / place, "model.onnx")
    (folder / "repo/flowers/2/model.onnx").write_text("junk")
    (folder / "repo/flowers/model.toml").write_text("retries = 9")
    return folder


@pytest.mark.parametrize("source", ["repo/flowers", "repo/flowers/", "repo/flowers/10", "named=repo/flowers"])
def test_the_newest_version_answers(foretell: Any, repository: Path, source: str) -> None:
    assert foretell("predict", source, ROW, "--json").json["label"] == "setosa"


def test_the_working_folder_may_be_it(foretell: Any, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "repo/flowers")
    assert foretell("predict", ".", ROW, "--json").json["label"] == "setosa"
    assert foretell("inspect", ".", "--json").json["name"] == "flowers"


def test_inspect_shows_the_newest_version(foretell: Any, repository: Path) -> None:
    shown = foretell("inspect", "repo/flowers", "--json").json
    assert (shown["name"], shown["version"]) == ("flowers", "10")
    assert foretell("inspect", "named=repo/flowers", "--json").json["name"] == "named"


def test_every_version_of_it_is_served(foretell: Any, repository: Path) -> None:
    """So the one that cannot be opened stops the start, and every one has its settings."""
    assert "repo/flowers/2/model.onnx" in foretell("serve", "repo/flowers").error
    shown = foretell("config", "repo/flowers", "--json").json
    assert [name for name in shown if name.startswith("model")] == [
        "model flowers version 2", "model flowers version 10"
    ]  # fmt: skip
    assert shown["model flowers version 2"]["retries"]["value"] == 9


def test_a_folder_of_several_models_asks_which(foretell: Any, repository: Path) -> None:
    result = foretell("predict", "repo", ROW)
    assert result.code == 2
    assert result.error == "repo holds 2 models; expected one; name it: repo/flowers or repo/others"


def test_a_folder_of_one_model_is_that_model(foretell: Any, repository: Path) -> None:
    (repository / "repo/others/1/model.onnx").unlink()
    (repository / "repo/others/1").rmdir()
    (repository / "repo/others").rmdir()
    assert foretell("predict", "repo", ROW, "--json").json["label"] == "setosa"


def test_a_model_file_beside_numbered_folders_is_the_model(foretell: Any, repository: Path) -> None:
    flowers = repository / "repo/flowers"
    (flowers / "best.onnx").write_bytes((flowers / "10/model.onnx").read_bytes())
    assert foretell("inspect", "repo/flowers", "--json").json["name"] == "best"


def test_a_model_whose_name_is_a_number_stays_a_model(foretell: Any, repository: Path) -> None:
    (repository / "repo/others").rename(repository / "repo/7")
    (repository / "repo/flowers").rename(repository / ".flowers")
    assert foretell("inspect", "repo", "--json").json["name"] == "7"
