"""Real processes, and models as people have them: files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_folder import fill
from program import Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with `models.py` and `iris.onnx`."""
    fill(tmp_path)
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Server]]:
    """`serve(*arguments, env=...)`: a running `foretell serve` in `folder`."""
    started: list[Server] = []

    def start(*arguments: object, **options: Any) -> Server:
        started.append(Server(*arguments, cwd=folder, **options))
        return started[-1]

    yield start
    for server in started:
        server.kill()
