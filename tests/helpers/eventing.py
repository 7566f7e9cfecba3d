"""Streams of `foretell stream` over small files: events, models that do what they must not, and the command itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_build
import program

import foretell
from foretell import DataType, TensorSpec
from foretell.events.report import Report

MODELS = '''
import os
import time
from pathlib import Path

from foretell import DataType, TensorSpec, TransientError


class Sum:
    """The sum of two numbers; what some numbers do to it is written beside it."""

    inputs = (TensorSpec("x", DataType.FP32, (2,)),)
    outputs = (TensorSpec("y", DataType.FP32, ()),)

    def predict(self, x):
        first = x[:, 0].tolist()
        if -11.0 in first:
            os._exit(7)
        if -22.0 in first:
            raise ValueError("minus twenty-two")
        if -44.0 in first:
            raise TransientError("come back later")
        if -66.0 in first:
            return x.sum(axis=1)[:-1]
        if -77.0 in first:
            return [str(value) for value in first]
        if -88.0 in first:
            time.sleep(1000)
        return x.sum(axis=1)


class Prints(Sum):
    def predict(self, x):
        print("printed by a model", flush=True)
        os.system("echo printed by its child")
        return super().predict(x)


class LongToLoad(Sum):
    def __init__(self):
        Path("loads").touch()
        time.sleep(1000)


class Gated(Sum):
    """Says that it has begun, and waits until there is a file `go`."""

    def predict(self, x):
        Path("began").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        return super().predict(x)
'''


class Sum:
    """The same in this process, for what ends none."""

    inputs = (TensorSpec("x", DataType.FP32, (2,)),)

    def predict(self, x: np.ndarray) -> np.ndarray:
        if -22.0 in x[:, 0].tolist():
            raise ValueError("minus twenty-two")
        return x.sum(axis=1)  # type: ignore[no-any-return]


def fill(folder: Path) -> Path:
    """Writes models: `models.py:Sum`, and `copy.onnx`, which gives back what it takes as `y`."""
    folder.mkdir(exist_ok=True)
    (folder / "models.py").write_text(MODELS)
    onnx_build.save(onnx_build.identity(["N", 2]), folder, "copy.onnx")
    return folder


def event(number: int, a: float | None = None) -> bytes:
    return b'{"id":%d,"a":%r,"b":0.5}\n' % (number, float(number) if a is None else a)


def events(numbers: Iterable[int], bad: Mapping[int, bytes] | None = None) -> bytes:
    """A line for each number; those in `bad` as they stand there."""
    return b"".join((bad or {}).get(number) or event(number) for number in numbers)


def copied(numbers: Iterable[int]) -> bytes:
    """What `copy.onnx` makes of them."""
    return b"".join(b'{"id":%d,"y":[%r,0.5]}\n' % (number, float(number)) for number in numbers)


def summed(numbers: Iterable[int], output: str = "y") -> bytes:
    """What `Sum` makes of them."""
    return b"".join(b'{"id":%d,"%s":%r}\n' % (number, output.encode(), number + 0.5) for number in numbers)


def stream(folder: Path, model: object = None, **options: Any) -> Report:
    """`foretell.stream` from `in.jsonl` to `out.jsonl` in this process, to the end of the file."""
    given: dict[str, Any] = {"key": "id", "once": True, "version": "1", **options}
    names = {"source": folder / "in.jsonl", "sink": folder / "out.jsonl"}
    return foretell.stream(Sum() if model is None else model, **{**names, **given})


def letters(folder: Path, name: str = "out.dead-letters.jsonl") -> list[dict[str, Any]]:
    path = folder / name
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


WORDS = ("--source", "in.jsonl", "--sink", "out.jsonl", "--key", "id")


def run(folder: Path, *arguments: object, code: int = 0, model: str = "copy.onnx") -> subprocess.CompletedProcess[str]:
    """`foretell stream MODEL` from `in.jsonl` to `out.jsonl`, to the end of the file; it ends with `code`."""
    done = program.run("stream", model, *WORDS, "--once", *arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    return done


def started(
    folder: Path, *arguments: object, model: str = "copy.onnx", script: str | None = None
) -> AbstractContextManager[subprocess.Popen[str]]:
    """The same, following the file."""
    return program.started("stream", model, *WORDS, *arguments, cwd=folder, env=program.environment(), script=script)


def has_lines(path: Path, lines: int, process: subprocess.Popen[Any] | None = None) -> bool:
    """Whether a file has so many; the process must not have ended before."""
    found = path.exists() and path.read_bytes().count(b"\n") >= lines
    if process is not None and not found:
        assert process.poll() is None, "it ended before"
    return found


def add(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
