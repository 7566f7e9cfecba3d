"""The control groups of Linux that this process is in: the limits of containers stand there."""

from __future__ import annotations

from collections.abc import Iterator

_MEMBERSHIP, _ROOT = "/proc/self/cgroup", "/sys/fs/cgroup"


def groups(kind: str, membership: str = _MEMBERSHIP, root: str = _ROOT) -> Iterator[tuple[str, int]]:
    """The folder of each group whose limits of `kind` ("cpu", "memory") may hold here, from the innermost to the one
    of all, and the version of its files, 1 or 2. None where there are no such groups; a folder may be missing."""
    try:
        with open(membership, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        top, version = (f"{root}/{kind}", 1) if kinds else (root, 2)
        path = path.rstrip("/")
        while path:
            yield top + path, version
            path = path.rpartition("/")[0]
        yield top, version


def numbers(path: str) -> list[int]:
    """The whole numbers that a file of a group begins with. Raises `OSError`, `ValueError` for a word such as "max"."""
    with open(path, encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
