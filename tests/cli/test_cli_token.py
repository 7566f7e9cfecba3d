"""`foretell token new`: what it prints, what the file learns, and what it refuses."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foretell.serve.tokens import Tokens


def test_with_a_file_standard_output_has_the_token_alone(foretell: Any, folder: Path) -> None:
    arguments = ["token", "new", "--name", "app", "--scope", "infer", "--tokens-file", "tokens.toml"]
    first = foretell(*arguments)
    assert (first.code, first.err) == (
        0,
        "added to tokens.toml: app, for infer; a server that runs takes it at SIGHUP\n",
    )
    second = foretell("token", "new", "--name", "ops", "--scope", "manage", "--scope", "metrics", "--rate-per-s", "5",
                      "--burst", "9", "--tokens-file", "tokens.toml")  # fmt: skip
    tokens = Tokens("tokens.toml")
    found = [tokens.find(result.out.strip().encode()) for result in (first, second)]
    assert [(token.name, set(token.scopes)) for token in found if token is not None] == [
        ("app", {"infer"}), ("ops", {"manage", "metrics"})
    ]  # fmt: skip
    assert found[1] is not None and found[1].rate is not None
    assert (found[1].rate.per_s, found[1].rate.burst) == (5, 9)
    assert Path("tokens.toml").stat().st_mode & 0o777 == 0o600
    again = foretell(*arguments)
    assert again.code == 2
    assert again.error == (
        "tokens_file tokens.toml, token 3: another token has the same name; choose another one, or delete the table of "
        "that token"
    )
    assert len(Tokens("tokens.toml")) == 2


def test_a_token_that_nobody_was_shown_is_not_kept(folder: Path) -> None:
    program = [sys.executable, "-m", "foretell", "token", "new", "--name", "app", "--scope", "infer",
               "--tokens-file", "tokens.toml"]  # fmt: skip
    with open("/dev/full", "w") as full:
        failed = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (failed.returncode, failed.stderr) == (
        1, "foretell: standard output cannot be written: No space left on device\n"
    )  # fmt: skip
    assert Path("tokens.toml").read_bytes() == b""


def test_a_disk_that_is_full_halfway_leaves_the_file_as_it_was(foretell: Any, folder: Path) -> None:
    arguments = ["token", "new", "--scope", "infer", "--tokens-file", "tokens.toml"]
    assert foretell(*arguments, "--name", "first").code == 0
    before = Path("tokens.toml").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        result = foretell(*arguments, "--name", "second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (result.code, result.error) == (2, "tokens_file tokens.toml: cannot be written: File too large")
    assert Path("tokens.toml").read_bytes() == before


def test_a_file_that_others_may_read_is_told(foretell: Any, folder: Path) -> None:
    Path("tokens.toml").touch(0o644)
    result = foretell("token", "new", "--name", "a", "--scope", "infer", "--tokens-file", "tokens.toml")
    assert result.code == 0
    assert "warning: tokens_file tokens.toml: others may read it; chmod 600 it" in result.err


def test_the_file_may_come_from_the_settings(foretell: Any, folder: Path) -> None:
    Path("foretell.toml").write_text('[server]\ntokens_file = "keys.toml"\n')
    secret = foretell("token", "new", "--name", "app", "--scope", "infer").out.strip()
    assert Tokens("keys.toml").find(secret.encode()) is not None


def test_without_a_file_it_prints_what_one_needs(foretell: Any, folder: Path) -> None:
    result = foretell("token", "new", "--name", "app", "--scope", "infer", "--scope", "infer")
    secret, empty, *table = result.out.splitlines()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    assert (empty, table) == ("", ["[[token]]", 'name = "app"', f'sha256 = "{digest}"', 'scopes = ["infer"]'])
    as_json = foretell("token", "new", "--name", "app", "--scope", "infer", "--json").json
    assert set(as_json) == {"token", "name", "tokens_file", "table"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["token"], ["ACTION is missing", "foretell token new --name NAME --scope SCOPE"]),
        (["token", "old", "--name", "a", "--scope", "infer"], ["old", "new"]),
        (["token", "new", "--scope", "infer"], ["--name"]),
        (["token", "new", "--name", "a"], ["--scope"]),
        (["token", "new", "--name", "a", "--scope", "all"], ["all", "infer", "manage", "metrics"]),
        (["token", "new", "--name", "a b", "--scope", "infer"], ["name: wrong value", "letters, digits"]),
        (["token", "new", "--name", "a", "--scope", "infer", "--rate-per-s", "0"], ["rate_per_s", "1e-06"]),
        (["token", "new", "--name", "a", "--scope", "infer", "--burst", "2"], ["burst would do nothing"]),
        (["token", "new", "--name", "a", "--scope", "infer", "--tokens-file", "no/such"], ["cannot be written"]),
    ],
)
def test_wrong_use(foretell: Any, arguments: list[str], words: list[str]) -> None:
    result = foretell(*arguments)
    assert result.code == 2
    for word in words:
        assert word in result.error


def test_a_token_of_the_environment_is_no_setting(foretell: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_TOKEN", "a-secret-of-the-environment")
    result = foretell("config")
    assert result.code == 0
    assert "a-secret" not in result.out + result.err
