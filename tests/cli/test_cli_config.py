"""`foretell config`: each value, and where it came from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foretell.cores import usable_cores


def test_flag_then_environment_then_file_then_default(
    foretell: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "foretell.toml").write_text(
        "[server]\nhttp_port = 1111\nhost = '::1'\nmax_pipelined = 5\n"
        "[model]\nretries = 7\nthreads = 3\ncache_size = 9\n"
    )
    (folder / "model.toml").write_text("threads = 2\ncache_size = 8\n")
    monkeypatch.setenv("FORETELL_HTTP_PORT", "2222")
    monkeypatch.setenv("FORETELL_HOST", "localhost")
    monkeypatch.setenv("FORETELL_CACHE_SIZE", "6")
    shown = foretell("config", "iris.onnx", "--http-port", "3333", "--json").json
    server = shown["server"]
    assert server["http_port"] == {"value": 3333, "from": "--http-port"}
    assert server["host"] == {"value": "localhost", "from": "FORETELL_HOST"}
    assert server["max_pipelined"] == {"value": 5, "from": "foretell.toml [server]"}
    assert server["idle_timeout_s"] == {"value": 75.0, "from": "default"}
    (model,) = [values for name, values in shown.items() if name.startswith("model ")]
    assert model["cache_size"] == {"value": 6, "from": "FORETELL_CACHE_SIZE"}
    assert model["threads"]["value"] == 2
    assert model["threads"]["from"].endswith("model.toml")
    assert model["retries"] == {"value": 7, "from": "foretell.toml [model]"}
    assert model["max_batch_size"] == {"value": 128, "from": "default"}


def test_a_setting_beside_the_model_may_need_another_place(foretell: Any, folder: Path) -> None:
    (folder / "model.toml").write_text("cache_ttl_s = 5\n")
    shown = foretell("config", "iris.onnx", "--cache-size", "9", "--json").json["model iris.onnx version 1"]
    assert shown["cache_ttl_s"]["value"] == 5
    refused = foretell("config", "iris.onnx")
    assert refused.error.startswith("model.toml: cache_ttl_s would do nothing; got cache_size = 0")


def test_every_model_has_its_own(foretell: Any, folder: Path) -> None:
    for version in ("1", "2"):
        place = folder / "repo" / "m" / version
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes((folder / "iris.onnx").read_bytes())
    (folder / "repo" / "m" / "model.toml").write_text("retries = 4")
    (folder / "repo" / "m" / "2" / "model.toml").write_text("retries = 5")
    shown = foretell("config", "repo", "named=iris.onnx", "--json").json
    assert shown["model m version 1"]["retries"]["value"] == 4
    assert shown["model m version 2"]["retries"]["value"] == 5
    assert shown["model named version 1"]["retries"]["value"] == 2


def test_a_table_for_people(foretell: Any) -> None:
    result = foretell("config", "--timeout-s", "3")
    assert result.code == 0
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.out.splitlines() if "│" in line]
    values = {name: (value, origin) for name, value, origin in cells}
    assert values["timeout_s"] == ("3", "--timeout-s")
    assert values["precision"] == ("not set", "default")
    assert values["trust"] == ("none", "default")
    assert values["allow_pickle"] == ("false", "default")
    for words in ("[server]", "[job]", "[model]", "timeout_s", "idle_timeout_s"):
        assert words in result.out


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FORETELL_HTP_PORT", "1", ["FORETELL_HTP_PORT", "did you mean 'FORETELL_HTTP_PORT'"]),
        ("FORETELL_HTTP_PORT", "abc", ["FORETELL_HTTP_PORT", "'abc'"]),
        ("FORETELL_HTTP_PORT", "65536", ["FORETELL_HTTP_PORT", "65535"]),
        ("FORETELL_MAX_BATCH_SIZE", "0", ["FORETELL_MAX_BATCH_SIZE", "at least 1"]),
        ("FORETELL_EXECUTOR", "fork", ["FORETELL_EXECUTOR", "fork"]),
    ],
)
@pytest.mark.parametrize(
    "command", [["config"], ["serve", "models.py:Double"], ["predict", "models.py:Double", "[[1]]"]]
)
def test_a_wrong_variable_stops_every_command_that_reads_it(
    foretell: Any, monkeypatch: pytest.MonkeyPatch, command: list[str], name: str, value: str, words: list[str]
) -> None:
    if command[0] == "predict" and "PORT" in name and name != "FORETELL_HTP_PORT":
        return  # a setting of the server, which does not concern it
    monkeypatch.setenv(name, value)
    result = foretell(*command)
    assert result.code == 2
    for word in words:
        assert word in result.error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nhttp_prot = 1", ["foretell.toml", "http_prot", "did you mean 'http_port'"]),
        ("[servers]\nhttp_port = 1", ["foretell.toml", "servers", "did you mean 'server'"]),
        ("[server\nhttp_port = 1", ["foretell.toml", "not valid TOML"]),
        ("[server]\nhttp_port = 'x'", ["foretell.toml", "http_port"]),
        ("[model]\nretries = -1", ["foretell.toml", "retries", "at least 0"]),
        ("server = 5", ["foretell.toml", "server is not a table"]),
    ],
)
def test_a_wrong_file_is_named(foretell: Any, folder: Path, text: str, words: list[str]) -> None:
    (folder / "foretell.toml").write_text(text)
    result = foretell("config")
    assert result.code == 2
    for word in words:
        assert word in result.error


def test_what_several_workers_have_of_each_limit_is_shown(foretell: Any) -> None:
    flags = ("--workers", "2", "--max-queue-size", "4095", "--cache-size", "100", "--slo-ms", "20", "--rate-per-s", "5")
    shown = foretell("config", *flags, "--json").json
    assert shown["server"]["workers"] == {"value": 2, "from": "--workers"}
    assert shown["server"]["max_connections"] == {"value": 10_000, "from": "default", "in_each_worker": 5000}
    assert shown["model"]["max_queue_size"] == {"value": 4095, "from": "--max-queue-size", "in_each_worker": 2048}
    assert shown["model"]["cache_size"] == {"value": 100, "from": "--cache-size", "in_each_worker": 100}
    assert shown["model"]["slo_ms"] == {"value": 20.0, "from": "--slo-ms", "in_each_worker": 20.0}
    assert shown["server"]["rate_per_s"] == {"value": 5.0, "from": "--rate-per-s", "in_each_worker": 2.5}
    assert shown["model"]["threads"] == {
        "value": 0, "from": "default", "in_each_worker": max(1, usable_cores() // 2),
    }  # fmt: skip
    assert shown["model"]["max_batch_size"] == {"value": 128, "from": "default"}
    for_people = foretell("config", *flags).out
    assert "4095 (2048 in each of 2 workers)" in for_people
    assert "100 in each of 2 workers" in for_people
    assert "20 in each of 2 workers" in for_people
    assert "5 (2.5 in each of 2 workers)" in for_people
    assert "in each" not in foretell("config").out


def test_no_workers_are_no_server(foretell: Any) -> None:
    for command in (("config",), ("serve", "models.py:Double")):
        result = foretell(*command, "--workers", "0")
        assert result.code == 2
        assert result.error == "--workers: workers is out of range; expected at least 1, got 0"


def test_a_model_that_is_not_there_is_no_success(foretell: Any, folder: Path) -> None:
    for source in ("nofile.onnx", "nofile.py:Model", "name=nofile.onnx"):
        result = foretell("config", source)
        assert result.code == 1
        assert "there is no such file" in result.error
    assert foretell("config", "models.py:Breaks").code == 0


def test_a_job_has_flags_too(foretell: Any, folder: Path) -> None:
    (folder / "foretell.toml").write_text("[job]\nbatch_size = 3\nnum_workers = 1\n")
    shown = foretell("config", "--batch-size", "5", "--json").json["job"]
    assert shown["batch_size"] == {"value": 5, "from": "--batch-size"}
    assert shown["num_workers"] == {"value": 1, "from": "foretell.toml [job]"}


def test_standard_output_of_another_encoding_carries_any_name(folder: Path) -> None:
    """Text with escapes, JSON with its own."""
    program = [sys.executable, "-m", "foretell", "config", "café=iris.onnx"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    text, as_json = (
        subprocess.run([*program, *more], cwd=folder, env=environment, capture_output=True, check=True).stdout
        for more in ((), ("--json",))
    )
    assert b"[model caf\\xe9 version 1]" in text
    assert "model café version 1" in json.loads(as_json)


def test_what_json_shows_means_the_same_as_variables(
    foretell: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each setting that has a value, whatever its type."""
    (folder / "foretell.toml").write_text(
        "[model]\npad = {ids = nan, mask = 1}\ntimeout_s = inf\ntrust = ['a.B', 'c.D']\nwarm_up = false\n"
        "batch = 'none'\n"
        "slo_ms = 0.1234567\n[server]\nrate_per_s = 1234567.5\nrate_burst = 7\ncors_origins = '*'\nwatch = true\n"
        "[job]\nmemory = '1GiB'\n"
    )
    shown = foretell("config", "--json").json
    assert shown["model"]["timeout_s"]["value"] == "inf"
    assert "1234567.5" in foretell("config").out
    (folder / "foretell.toml").unlink()
    given = {name: each["value"] for values in shown.values() for name, each in values.items()}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        monkeypatch.setenv(f"FORETELL_{name.upper()}", as_variable(value))
    again = foretell("config", "--json").json
    for section, values in shown.items():
        for name, each in values.items():
            origin = f"FORETELL_{name.upper()}" if name in given else "default"
            assert again[section][name] == {"value": each["value"], "from": origin}


def as_variable(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={number}" for name, number in value.items())
    return ",".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)
