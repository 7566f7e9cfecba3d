"""Processes of `foretell score` that start while the command line is still being read: their imports take as long as
many a job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretell.batch.seat import Seat

early: ContextVar[Sequence[Seat]] = ContextVar("early", default=())
"""The processes that wait for the command that is being run."""

_NUMPY_THREADS = "OPENBLAS_NUM_THREADS"
_HELP = ("--help", "-h", "--version")


@contextmanager
def started(words: Sequence[str]) -> Iterator[None]:
    """Starts them where `words` are a job whose number of processes nobody has named."""
    if words[:1] == ["score"] and any("://" in word for word in words):
        from foretell.cli.storage import prepare
        from foretell.errors import InvalidSetting

        with suppress(InvalidSetting):  # the command itself tells
            prepare(words, os.environ)  # before the first process, which inherits it
    if _is_done(words):
        yield
        return
    named = any(word.startswith("--processes") for word in words) or "FORETELL_PROCESSES" in os.environ
    if words[:1] != ["score"] or len(words) < 4 or named or any(word in _HELP for word in words):
        yield
        return
    from foretell.batch.seat import Seat, close_all
    from foretell.cores import usable_cores

    hints = _hints(words)
    seats: list[Seat] = []
    token = early.set(seats)
    # Of an ONNX model NumPy multiplies nothing: its threads would start in each process, wait busily, and do nothing.
    idle = [_NUMPY_THREADS] if "onnxruntime" in hints and _NUMPY_THREADS not in os.environ else []
    os.environ.update(dict.fromkeys(idle, "1"))
    try:
        with suppress(Exception):  # the job itself tells, if it cannot be done
            for number in range(usable_cores()):
                seats.append(Seat(number, hints))
        yield
    finally:
        early.reset(token)
        close_all(seats)
        for name in idle:
            os.environ.pop(name, None)


def _is_done(words: Sequence[str]) -> bool:
    """Whether the output seems to be there already, so that nobody needs to hurry."""
    at = next((at for at, word in enumerate(words[:-1]) if word in ("-o", "--out")), None)
    if at is None:
        return False
    out = words[at + 1]
    for state in (f"{out}/_foretell", f"{out}.foretell"):
        try:
            with open(f"{state}/job", encoding="utf-8") as file:
                return os.path.exists(f"{state}/{file.read().strip()}/done.json")
        except (OSError, ValueError):
            continue
    return False


def _hints(words: Sequence[str]) -> list[str]:
    """What a job over such files imports."""
    text = " ".join(words)
    hints = ["onnxruntime", "foretell.backends.onnx.opening"] if ".onnx" in text else []
    return [*hints, "pyarrow.parquet"] if ".parquet" in text else hints
