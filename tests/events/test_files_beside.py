"""Files beside the one that is followed: rotated, copied, compressed and touched, between two looks."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from following import Follower, add, lines, once
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.errors import InvalidInput
from foretell.events.follow import FileSource
from foretell.events.interfaces import Position

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": lambda data: bz2.compress(data[:3]) + bz2.compress(data[3:]),  # in two streams, as pbzip2 does
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def pack(plain: Path, ending: str) -> None:
    """As such programs do: with the time that the file had."""
    status = plain.stat()
    made = Path(f"{plain}.{ending}")
    made.write_bytes(PACK[ending](plain.read_bytes()))
    os.utime(made, ns=(status.st_mtime_ns, status.st_mtime_ns))
    plain.unlink()


def rotated_twice(path: Path) -> Position:
    """Where it was read to before. `.2` goes on with a 3, `.1` has 4 and 5, and `.3` is older."""
    Path(f"{path}.1").write_bytes(lines(0))
    os.utime(f"{path}.1", ns=(5, 5))
    position = once(path).position
    add(path, lines(3))
    Path(f"{path}.1").rename(f"{path}.3")
    path.rename(f"{path}.2")
    Path(f"{path}.1").write_bytes(lines(4, 5))
    return position


def test_files_that_came_and_went_in_between_are_read_in_their_order(path: Path) -> None:
    position = once(path).position
    add(path, lines(3))
    path.rename(f"{path}.2")
    os.utime(f"{path}.2", ns=(10, 10))
    Path(f"{path}.1").write_bytes(lines(4, 5))
    os.utime(f"{path}.1", ns=(20, 20))
    Path(f"{path}.0.zip").write_bytes(b"no text")
    Path(f"{path}.bak").write_bytes(lines(99))
    Path(f"{path}.3").write_bytes(lines(0))
    os.utime(f"{path}.3", ns=(5, 5))
    path.write_bytes(lines(6))
    follower = once(path, position)
    assert follower.content == lines(3, 4, 5, 6)
    assert once(path, follower.position).content == b""


@pytest.mark.parametrize("ending", PACK)
def test_what_was_compressed_when_it_was_rotated_is_read(path: Path, ending: str) -> None:
    position = rotated_twice(path)
    for rotated in (".3", ".2", ".1"):
        pack(Path(f"{path}{rotated}"), ending)
    path.write_bytes(lines(6))
    follower = once(path, position)
    assert follower.content == lines(3, 4, 5, 6)
    assert once(path, follower.position).content == b""
    source = FileSource(path, once=True)
    source.open(position)
    in_its_middle = [source.poll(1) for _ in range(2)][1]
    source.close()
    assert in_its_middle is not None
    assert once(path, in_its_middle.position).content == lines(5, 6)


def test_a_file_that_was_compressed_and_is_damaged_is_named(path: Path) -> None:
    position = once(path).position
    add(path, lines(3))
    path.rename(f"{path}.2")
    Path(f"{path}.1.gz").write_bytes(gzip.compress(lines(4))[:-6])
    path.write_bytes(lines(5))
    source = FileSource(path, once=True)
    source.open(position)
    assert source.poll(9) is not None
    with pytest.raises(InvalidInput, match=r"in\.jsonl\.1\.gz: the gzip data end too early"):
        source.poll(9)
    source.close()
    Path(f"{path}.1").write_bytes(lines(4))
    Path(f"{path}.1.gz").unlink()
    assert once(path, position).content == lines(3, 4, 5)


def test_that_a_file_beside_was_touched_leaves_no_event_out_and_repeats_none(path: Path) -> None:
    position = rotated_twice(path)
    path.write_bytes(lines(6))
    later = Path(f"{path}.1").stat().st_mtime_ns + 10**9
    for touched in (2, 3):
        os.utime(f"{path}.{touched}", ns=(later, later))
    shutil.copy2(f"{path}.2", f"{path}.20")
    Path(f"{path}.4").write_bytes(lines(99))  # unpacked by somebody, with the time that it had
    os.utime(f"{path}.4", ns=(4, 4))
    follower = once(path, position)
    assert follower.content == lines(3, 4, 5, 6)
    assert once(path, follower.position).content == b""


@pytest.mark.parametrize("name", ["in.jsonl.1", "in.jsonl-20260102", "in.1.jsonl", "archived.jsonl"])
def test_a_file_that_was_rotated_while_nobody_looked_is_found_beside(path: Path, name: str) -> None:
    position = once(path).position
    add(path, lines(3))
    path.rename(path.with_name(name))
    path.write_bytes(lines(4))
    assert once(path, position).content == lines(3, 4)


def test_what_lies_beside_and_is_something_else_is_never_read(path: Path) -> None:
    position = once(path).position
    path.rename(f"{path}.1")
    sink = Path(f"{path}.2")
    sink.write_bytes(lines(99))
    path.write_bytes(lines(3))
    follower = Follower(path, position, once=True, avoid=[sink])
    follower.join()
    follower.close()
    assert follower.content == lines(3)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5)),
        st.tuples(st.just("look"), st.integers(0, 12)),
        st.tuples(st.sampled_from(["rename", "copy", "pack"]), st.just(0)),
    ),
    max_size=25,
)


def _shift(path: Path) -> None:
    """As logrotate does: `.1` becomes `.2`, and so on."""
    for number in range(30, 0, -1):
        for ending in ("", ".gz"):
            if Path(f"{path}.{number}{ending}").exists():
                Path(f"{path}.{number}{ending}").rename(f"{path}.{number + 1}{ending}")


@settings(max_examples=60)
@given(_STEPS, st.booleans())
def test_every_line_comes_once_whatever_is_rotated_between_two_looks(steps: list[tuple[str, int]], alike: bool) -> None:
    """`alike`: all files have one time of their last change, as coarse clocks give them."""
    with tempfile.TemporaryDirectory() as name:
        path, position, written, found = Path(name) / "in.jsonl", None, 0, b""
        path.write_bytes(b"")
        os.utime(path, ns=(0, 0))
        for number, (step, count) in enumerate([("look", 0), *steps, ("look", 1000)]):
            if step == "add":
                add(path, lines(*range(written, written + count)))
                written += count
            elif step == "rename":
                _shift(path)
                path.rename(f"{path}.1")
                path.write_bytes(b"")
            elif step == "pack":
                for each in list(path.parent.glob("*.[0-9]")):
                    pack(each, "gz")
            elif step == "copy":
                _shift(path)
                shutil.copy(path, f"{path}.1")
                path.write_bytes(b"")
            else:
                source = FileSource(path, once=True)
                began = source.open(position)
                position = began if position is None else position
                while count > 0 and (events := source.poll(min(count, 3))) is not None:
                    found += b"".join(text + b"\n" for text in events.texts)
                    position, count = events.position, count - len(events.texts)
                source.close()
            changed = {"look": [], "pack": [], "copy": [path, Path(f"{path}.1")]}.get(step, [path])
            for each in filter(Path.exists, changed):
                os.utime(each, ns=(0, 0) if alike else (number, number))
        assert found == lines(*range(written))
