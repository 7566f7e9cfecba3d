"""Jobs of `foretell score` on small data: files, models that do what they must not, and the command itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import program
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 400
"""Of each file that `write_files` writes."""

ALONE = ("--processes", "1")
"""For jobs that end before a second process has begun, and of which it would prove nothing."""

MODELS = '''
import os
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np

from foretell import DataType, ReplicaLost, TensorSpec, TransientError


class Sum:
    """The sum of two numbers; what some numbers do to it is written beside it."""

    inputs = (TensorSpec("x", DataType.FP32, (2,)),)

    def predict(self, x):
        first = x[:, 0].tolist()
        if -11.0 in first:
            os.kill(os.getpid(), signal.SIGSEGV)
        if -22.0 in first:
            raise ValueError("minus twenty-two")
        if -33.0 in first:
            threading.Event().wait()
        if -44.0 in first:
            raise TransientError("come back later")
        if -55.0 in first and len(first) > 8:
            raise MemoryError
        if -88.0 in first:
            raise ReplicaLost("its GPU computes nothing more in this process")
        return x.sum(axis=1)


class Gated(Sum):
    """Waits until there is a file `go` before it answers the file that begins with 1000."""

    def predict(self, x):
        if x[0, 0] >= 1000:
            while not Path("go").exists():
                threading.Event().wait(0.02)
        return super().predict(x)


class Doled(Sum):
    """Answers only so many files as the file `let` says, whichever they are; one that was answered once always is."""

    def predict(self, x):
        mark = Path("open", str(int(x[0, 1]) // 400))
        while not mark.exists():
            if len(os.listdir("open")) < int(Path("let").read_text()):
                mark.touch()
            else:
                threading.Event().wait(0.02)
        return super().predict(x)


class DiskFull(Gated):
    """While there is a file `full` the system has no room for what its process writes."""

    def __init__(self):
        sync = os.fsync

        def full(descriptor):
            if Path("full").exists():
                os.write(os.open("/dev/full", os.O_WRONLY), b"1")
            sync(descriptor)

        os.fsync = full


class SecondLate(Gated):
    """Loaded at once where it is the first; another waits until there is a file `again`."""

    def __init__(self):
        try:
            Path("first").open("x").write(str(os.getpid()))
        except FileExistsError:
            while not Path("again").exists():
                time.sleep(0.01)


class Together(Sum):
    """Answers only once two processes are asked at the same time."""

    def predict(self, x):
        Path(f"began-{os.getpid()}").touch()
        until = time.monotonic() + 60
        while len(list(Path().glob("began-*"))) < 2:
            if time.monotonic() > until:
                raise RuntimeError("the other process has nothing to do")
            time.sleep(0.01)
        return super().predict(x)


class Waiting(Sum):
    def predict(self, x):
        Path(f"began-{os.getpid()}").touch()
        threading.Event().wait()


class Outage(Sum):
    """Fails where something it needs is not there, until there is a file `mended`."""

    def predict(self, x):
        if -66.0 in x[:, 0].tolist() and not Path("mended").exists():
            raise ValueError("not there")
        return super().predict(x)


class Wide(Sum):
    """Takes 2 MiB for a row while it computes, and writes down its calls and the most memory that it had."""

    def predict(self, x):
        wide = np.ones((len(x), 2**18))
        peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
        with open(f"calls-{os.getpid()}", "a") as file:
            file.write(f"{len(x)} {int(peak) * 1024}\\n")
        return super().predict(x) + 0 * wide[:, 0]


class Waits(Sum):
    """Leaves the processor to others, as one does that asks a service."""

    def predict(self, x):
        time.sleep(0.1)
        return super().predict(x)


class Changing:
    inputs = (TensorSpec("x", DataType.FP32, (2,)),)

    def predict(self, x):
        return x.sum(axis=1) if x[0, 0] < 1000 else x.sum(axis=1).astype("int64")


class Broken:
    inputs = (TensorSpec("x", DataType.FP32, (2,)),)

    def predict(self, x):
        raise ValueError("broken")
'''


def fill(folder: Path) -> Path:
    """Writes the models; `foretell score models.py:Sum` finds them from there."""
    folder.mkdir(exist_ok=True)
    (folder / "models.py").write_text(MODELS)
    return folder


def write_files(folder: Path, files: int = 4, bad: Mapping[int, float] | None = None, rows: int = ROWS) -> Path:
    """`files` Parquet files, each a shard or more: `id`, `a` and `b`. `bad`: by id, what stands in `a` instead."""
    data = folder / "data"
    data.mkdir()
    for number in range(files):
        ids = np.arange(number * rows, (number + 1) * rows)
        a = (ids % 1000 + (1000 if number else 0)).astype(np.float32)
        for row, value in (bad or {}).items():
            if number * rows <= row < (number + 1) * rows:
                a[row - number * rows] = value
        pq.write_table(pa.table({"id": ids, "a": a, "b": np.float32(0.5) + ids.astype(np.float32)}),
                       data / f"{number:02}.parquet")  # fmt: skip
    return data


def dole(folder: Path, files: int) -> None:
    """Lets the model `Doled` answer so many files."""
    (folder / "open").mkdir(exist_ok=True)
    (folder / "let.new").write_text(str(files))
    os.replace(folder / "let.new", folder / "let")


def score(
    folder: Path, *arguments: object, code: int = 0, model: str = "models.py:Sum"
) -> subprocess.CompletedProcess[str]:
    """`foretell score MODEL data -o out ARGUMENTS`, which ends with `code`."""
    given = [str(argument) for argument in arguments]
    out = [] if "-o" in given else ["-o", "out"]
    data = [] if given and not given[0].startswith("-") else ["data"]
    done = program.run("score", model, *data, *given, *out, cwd=folder)
    assert done.returncode == code, done.stderr
    return done


@contextmanager
def started(folder: Path, *arguments: object, model: str = "models.py:Sum") -> Iterator[subprocess.Popen[str]]:
    """The same, under way; what is left of it at the end is killed."""
    words = ["score", model, "data", "-o", "out", *arguments]
    with program.started(*words, cwd=folder, env=program.environment()) as process:
        yield process


def table(folder: Path) -> pa.Table:
    """All rows of the output, in order of its parts."""
    return pa.concat_tables(pq.read_table(part) for part in sorted((folder / "out" / "data").glob("*.parquet")))


def parts(folder: Path) -> dict[str, bytes]:
    """Every file of the output but the manifest, which tells of the inputs' paths."""
    return {part.name: part.read_bytes() for part in sorted((folder / "out" / "data").glob("part-*"))}


def quarantine(folder: Path) -> list[dict[str, Any]]:
    """The lines of the quarantine; none where there is none."""
    path = folder / "out" / "_foretell" / "quarantine.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def expected(files: int = 4, without: Sequence[int] = (), rows: int = ROWS) -> dict[int, float]:
    """The answer of each id."""
    made = {}
    for row in range(files * rows):
        a = np.float32(row % 1000 + (1000 if row >= rows else 0))
        made[row] = float(a + (np.float32(0.5) + np.float32(row)))
    return {row: answer for row, answer in made.items() if row not in without}


def answers(found: pa.Table) -> dict[int, float]:
    """The answers of an output, by id; every id stands there once."""
    ids = found["id"].to_pylist()
    assert len(set(ids)) == len(ids)
    return dict(zip(ids, found["output"].to_pylist(), strict=True))
