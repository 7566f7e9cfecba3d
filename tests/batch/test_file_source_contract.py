"""What every source promises whose rows are files, or lines of a text."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from file_sources import TEXTS, encoded, opened, read, takes

from foretell.batch.inputs import changed, find_inputs
from foretell.batch.shards import ShardSize
from foretell.types import ModelSpec

_COUNT = 300


def image(number: int) -> bytes:
    return encoded(np.full((2, 3, 3), number % 256, np.uint8), "PNG")


def text(number: int) -> bytes:
    return b"text %d" % number


def folder(path: Path, ending: str, content: Callable[[int], bytes]) -> Path:
    path = path / "data"
    for number in range(_COUNT):
        (path / f"{number // 100}").mkdir(parents=True, exist_ok=True)
        (path / f"{number // 100}" / f"{number:03}{ending}").write_bytes(content(number))
    return path


def packed(path: Path, name: str, ending: str, content: Callable[[int], bytes]) -> Path:
    source = folder(path, ending, content)
    files = sorted(each for each in source.rglob("*") if each.is_file())
    if name.endswith("zip"):
        with zipfile.ZipFile(path / name, "w") as archive:
            for each in files:
                archive.write(each, str(each.relative_to(source)))
    else:
        with tarfile.open(path / name, "w:gz" if name.endswith("z") else "w") as archive:
            for each in files:
                archive.add(each, str(each.relative_to(source)))
    return path / name


def lines(path: Path) -> Path:
    (path / "a.txt").write_bytes(b"\n".join(map(text, range(_COUNT))))
    return path / "a.txt"


@dataclass(frozen=True)
class Case:
    write: Callable[[Path], Path]
    spec: ModelSpec


PIXELS = takes(2, 3, 3)
CASES = {
    "images": Case(lambda path: folder(path, ".png", image), PIXELS),
    "images of any size": Case(lambda path: folder(path, ".png", image), takes(None, None, 3)),
    "images as files": Case(lambda path: folder(path, ".png", image), TEXTS),
    "images in tar": Case(lambda path: packed(path, "a.tar", ".png", image), PIXELS),
    "images in tar.gz": Case(lambda path: packed(path, "a.tar.gz", ".png", image), PIXELS),
    "images in zip": Case(lambda path: packed(path, "a.zip", ".png", image), PIXELS),
    "texts": Case(lambda path: folder(path, ".txt", text), TEXTS),
    "texts in tgz": Case(lambda path: packed(path, "a.tgz", ".txt", text), TEXTS),
    "texts in zip": Case(lambda path: packed(path, "a.zip", ".txt", text), TEXTS),
    "lines": Case(lines, TEXTS),
}


def value(cell: object) -> bytes:
    return bytes(cell) if isinstance(cell, bytes) else np.asarray(cell, np.uint8).tobytes()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_every_row_comes_once_in_order_however_it_is_read(case: Case, tmp_path: Path) -> None:
    data = case.write(tmp_path)
    source = opened(data, case.spec)
    shards = source.shards(ShardSize())
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert all(one.first_row + (one.rows or 0) == other.first_row for one, other in pairwise(shards))
    assert sum(shard.rows or 0 for shard in shards) == _COUNT
    whole = read(source)
    assert whole.bad == {} and len(whole.cells) == _COUNT
    expected = [value(cell) for cell in whole.cells]
    if isinstance(whole.cells[0], bytes):
        assert len(set(expected)) >= 256
    for rows in (1, 7, 64):
        made = read(source, rows)
        assert [value(cell) for cell in made.cells] == expected and max(made.blocks) <= rows
        assert [first for _, first in made.firsts] == [sum(made.blocks[:at]) for at in range(len(made.blocks))]
    source.close()
    order = list(range(len(shards)))[::-1]
    other = opened(data, case.spec)  # as in another process, which has planned nothing
    planned = other.shards(ShardSize())
    assert planned == shards  # the same on every machine and in every run
    again = read(other, 50, shards=order)
    spans = [range(shards[at].first_row, shards[at].first_row + (shards[at].rows or 0)) for at in order]
    assert [value(cell) for cell in again.cells] == [expected[row] for span in spans for row in span]
    other.close()


def test_a_read_that_was_given_up_leaves_nothing_behind(case: Case, tmp_path: Path) -> None:
    source = opened(case.write(tmp_path), case.spec)
    shards = source.shards(ShardSize())
    begun = source.read(shards[-1], ("file", source.content), 2)
    next(begun)
    first = next(source.read(shards[0], ("file", source.content), 2))
    assert first.first_row == 0 and first.rows == 2
    source.close()


def test_inputs_that_are_as_they_were_are_no_change(case: Case, tmp_path: Path) -> None:
    data = case.write(tmp_path)
    kind, files = find_inputs(data)
    assert find_inputs(data) == (kind, files)
    assert [changed(file) for file in files] == [""]
