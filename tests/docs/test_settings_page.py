"""The page on settings tells of every one, with its flag, variable and default; its samples are complete and hold."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from foretell.cli import flags
from foretell.config import JobSettings, ModelSettings, ServerSettings, toml_layer
from foretell.repository.settings import model_layers

PAGE = (Path(__file__).parents[2] / "docs/reference/settings.md").read_text("utf-8")
TABLES = {"Model": ModelSettings, "Server": ServerSettings, "Job": JobSettings}
FLAGS = {
    field.name
    for kind in vars(flags).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == flags.__name__
    for field in dataclasses.fields(kind)
}
NOT_BESIDE_A_MODEL = {"trust", "allow_pickle", "model_class", "cache_dir"}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def sample(title: str, *, whole: bool) -> dict[str, Any]:
    """The sample of a file; `whole`: with the lines that are commented out."""
    (text,) = re.findall(r"^```toml\n(.*?)^```", section(title), re.DOTALL | re.MULTILINE)
    return tomllib.loads(text.replace("\n# ", "\n") if whole else text)


def defaults(kind: type[Any]) -> dict[str, Any]:
    return {field.name: json.loads(json.dumps(field.default)) for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("title", TABLES)
def test_it_tells_of_every_setting(title: str) -> None:
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {cells[0].strip("`"): cells[1:4] for cells in rows} == {
        key: [
            {"http_port": "`--http-port`, `--port`"}.get(key, f"`--{key.replace('_', '-')}`") if key in FLAGS else "",
            f"`FORETELL_{key.upper()}`",
            "" if default is None else f"`{json.dumps(default)}`",
        ]
        for key, default in defaults(TABLES[title]).items()
    }
    assert all(len(cells) == 5 and cells[4] for cells in rows)


def test_the_sample_of_the_project_file_is_complete_and_holds(tmp_path: Path) -> None:
    given, whole = sample("foretell.toml", whole=False), sample("foretell.toml", whole=True)
    for title, kind in TABLES.items():
        known = defaults(kind)
        assert given[title.lower()] == {key: default for key, default in known.items() if default is not None}
        assert whole[title.lower()].keys() == known.keys()
        (tmp_path / "foretell.toml").write_text(section("foretell.toml").split("```")[1].removeprefix("toml"))
        assert toml_layer(tmp_path / "foretell.toml", title.lower()).values == given[title.lower()]


def test_the_sample_of_the_file_beside_a_model_is_complete_and_holds(tmp_path: Path) -> None:
    known = {key: default for key, default in defaults(ModelSettings).items() if key not in NOT_BESIDE_A_MODEL}
    assert sample("model.toml", whole=False) == {key: value for key, value in known.items() if value is not None}
    assert sample("model.toml", whole=True).keys() == known.keys()
    text = section("model.toml").split("```")[1].removeprefix("toml\n").replace("# ", "")
    (tmp_path / "model.toml").write_text(text.replace("cache_size = 0", "cache_size = 9"))  # or cache_ttl_s is idle
    (layer,) = model_layers([tmp_path])
    assert layer.values == {**sample("model.toml", whole=True), "cache_size": 9}
