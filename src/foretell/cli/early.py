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
_ONNX = "foretell.backends.onnx.quiet"
_HELP = ("--help", "-h", "--version")


@contextmanager
def started(words: Sequence[str]) -> Iterator[None]:
    """Starts them where `words` are a job whose number of processes nobody has named."""
    if words[:1] == ["score"] and any("://" in word for word in words):
        from foretell.cli.storage import prepare
        from foretell.errors import InvalidSetting

        with suppress(InvalidSetting):  # the command itself tells
            prepare(words, os.environ)  # before the first process, which inherits it
    if words[:1] == ["stream"]:
        with _numpy_idle(for_sure=any(word.endswith(".onnx") for word in words)):
            yield
        return
    if not _are_needed(words):
        yield
        return
    hints = _hints(words)
    with _numpy_idle(for_sure=_ONNX in hints), _seats(hints) as seats:
        token = early.set(seats)
        try:
            yield
        finally:
            early.reset(token)


@contextmanager
def _seats(hints: Sequence[str]) -> Iterator[Sequence[Seat]]:
    from foretell.batch.seat import AT_FIRST, Seat, close_all
    from foretell.cores import usable_cores

    seats: list[Seat] = []
    try:
        with suppress(Exception):  # the job itself tells, if it cannot be done
            for number in range(min(usable_cores(), AT_FIRST)):
                seats.append(Seat(number, hints))
        yield seats
    finally:
        close_all(seats)


@contextmanager
def _numpy_idle(*, for_sure: bool) -> Iterator[None]:
    """Of an ONNX model NumPy multiplies nothing: its threads would start in each process, and wait busily."""
    if not for_sure or _NUMPY_THREADS in os.environ:
        yield
        return
    os.environ[_NUMPY_THREADS] = "1"
    try:
        yield
    finally:
        os.environ.pop(_NUMPY_THREADS, None)


def _are_needed(words: Sequence[str]) -> bool:
    named = any(word.startswith("--processes") for word in words) or "FORETELL_PROCESSES" in os.environ
    asks_help = any(word in _HELP for word in words)
    return words[:1] == ["score"] and len(words) >= 4 and not named and not asks_help and not _is_done(words)


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
    is_onnx = any(word.endswith(".onnx") for word in words)
    hints = [_ONNX, "foretell.backends.onnx_file", "foretell.backends.onnx.opening"] if is_onnx else []
    return [*hints, "pyarrow.parquet"] if any(".parquet" in word for word in words) else hints
