"""How many processes score, each with how many threads, within which memory: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_PROCESS_BYTES = 160 * 2**20
"""Of a process before it has a model, and of what it reads and writes: measured with Arrow and ONNX Runtime."""
_LOADED = 2.5
"""Bytes that a model takes while it is loaded, for each of its file."""
_ONCE_BYTES = 512 * 2**20
"""Weights from this size on are loaded once: one process has all cores."""
_WORKING_BYTES = 48 * 2**20
"""What a process with a loaded model needs beside it for small calls."""


@dataclass(frozen=True, slots=True)
class Staff:
    """`processes`: to begin with; `threads`: of a call in each; `wanted`: processes, if memory turns out to do."""

    processes: int
    threads: int
    wanted: int


def staff(asked: int | None, cores: int, devices: Sequence[str], artefact_bytes: int, memory: int | None) -> Staff:
    """`asked`: processes that somebody has named; `memory`: bytes for all of them, None where nobody knows."""
    on_cores = devices[0] == "cpu"
    usual = cores if on_cores else len(devices)
    if on_cores and artefact_bytes >= _ONCE_BYTES:
        usual = 1
    wanted = asked or usual
    first = wanted
    if memory is not None:
        first = max(1, min(wanted, int(memory / (_PROCESS_BYTES + _LOADED * artefact_bytes))))
    return Staff(first, max(1, cores // first), wanted)


def may_grow(asked: int | None, artefact_bytes: int) -> bool:
    """Whether processes beyond those to begin with may be tried: each would hold the weights once more."""
    return asked is None and artefact_bytes < _ONCE_BYTES


def fitting(memory: int, loaded: Sequence[int], wanted: int) -> int:
    """How many processes have room where those that are loaded have so many bytes; 0 where none has."""
    each = max(loaded) + _WORKING_BYTES
    return max(0, min(wanted, memory // each))


def least(loaded: int) -> int:
    """Bytes that a job with one such process needs."""
    return loaded + _WORKING_BYTES
