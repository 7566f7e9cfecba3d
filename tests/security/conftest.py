"""A server with every route there is, beside files that nobody shall reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from repositories import Manage, Managed, managing, put, times
from routes import STREAM_PY


@pytest.fixture
def secret() -> str:
    """What a file that nobody shall reach holds."""
    return "the-content-of-a-file-outside"


@pytest.fixture
def folder(tmp_path: Path, secret: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: `models/m`, and outside of `models` a model and a text that are nobody's business."""
    put(tmp_path / "models/m/1/model.onnx", times(2))
    put(tmp_path / "stream.py", STREAM_PY)
    put(tmp_path / "outside/1/model.onnx", times(666))
    put(tmp_path / "outside/secret.txt", secret.encode())
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Managed]:
    """Serves `m`, and `s` that streams; at the end still does, with its files as they were."""
    before = files(folder)
    with managing(uvloop.new_event_loop) as start:
        one = start(folder / "models", f"s={folder}/stream.py:spell")
        yield one
        assert one.predict("m", 3) == 6
        assert [entry["name"] for entry in one.index()] == ["m", "s"]
    assert files(folder) == before


@pytest.fixture
def serve_more() -> Iterator[Manage]:
    """`serve_more("word", ..., setting=value)`: another server."""
    with managing(uvloop.new_event_loop) as start:
        yield start


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
