"""The examples as a user has them: copied, so that what they write stays out of the repository."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BIN = Path(sys.executable).parent

Run = Callable[..., subprocess.CompletedProcess[str]]
Served = Callable[[str, Path], AbstractContextManager[Callable[[str], Any]]]


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a copy of an example, always the same one."""
    root = tmp_path_factory.mktemp("examples")

    def copy(name: str) -> Path:
        if not (root / name).exists():
            shutil.copytree(EXAMPLES / name, root / name, ignore=shutil.ignore_patterns("build", "__pycache__"))
        return root / name

    return copy


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a script of an example in its folder."""

    def run_script(*words: object, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, words)]
        return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False, timeout=100)

    return run_script


@pytest.fixture(scope="session")
def served() -> Served:
    """Runs a `foretell serve` line on a free port; gives a function that runs a curl line against it."""

    @contextmanager
    def serving(line: str, cwd: Path) -> Iterator[Callable[[str], Any]]:
        command = [str(BIN / "foretell"), *shlex.split(line)[1:], "--http-port", "0"]
        process = subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, text=True)
        try:
            lines = iter(process.stderr or ())
            address = next(line for line in lines if "serving on" in line).partition("http://")[2].split()[0]

            def paste(curl: str) -> Any:
                script = curl.replace("127.0.0.1:8000", address)
                done = subprocess.run(["sh", "-c", script], cwd=cwd, capture_output=True, check=True, timeout=60)
                return json.loads(done.stdout)

            yield paste
        finally:
            process.terminate()
            process.communicate(timeout=60)

    return serving


@pytest.fixture(scope="session")
def blocks() -> Callable[[Path], list[str]]:
    """The shell blocks of an example's README."""

    def read(folder: Path) -> list[str]:
        parts = (folder / "README.md").read_text("utf-8").split("```")
        return [part.removeprefix("sh\n").strip() for part in parts[1::2]]

    return read
