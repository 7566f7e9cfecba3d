"""A file that is followed: as it grows, is rotated, cut off, taken away and put back; while somebody looks and while
nobody does."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest
from following import add, followed, lines, once
from hypothesis import given
from hypothesis import strategies as st
from looking import until

from foretell.clock import ManualClock
from foretell.errors import InvalidInput
from foretell.events.cutter import Cutter
from foretell.events.follow import FileSource
from foretell.events.stdio import PipeSource


def test_what_is_added_is_given_as_soon_as_its_line_ends(path: Path) -> None:
    with followed(path) as follower:
        follower.wait_for(lines(1, 2))
        add(path, b'{"number"')
        add(path, b":3}\n")
        follower.wait_for(lines(1, 2, 3))
    assert follower.said == []
    offset = len(lines(1))
    assert [place["offset"] for place in follower.places] == [0, offset, 2 * offset]
    assert [place["line"] for place in follower.places] == [1, 2, 3]


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "later.jsonl"
    with followed(path) as follower:
        until(lambda: follower.said)
        path.write_bytes(lines(1))
        follower.wait_for(lines(1))
    assert follower.said == [f"waiting for {path}"]
    with pytest.raises(InvalidInput, match="no such file"):
        FileSource(tmp_path / "never.jsonl", once=True).open(None)


def test_the_old_file_of_a_rotation_is_read_to_its_end_and_then_the_new_one(path: Path) -> None:
    with followed(path) as follower, path.open("ab", buffering=0) as writer:
        follower.wait_for(lines(1, 2))
        path.rename(f"{path}.1")
        writer.write(lines(3))
        path.write_bytes(lines(4))  # another writer was quicker than the one that still has the old file
        writer.write(lines(5))
        follower.wait_for(lines(1, 2, 3, 5, 4))
    assert follower.source.rotations == 1


def test_a_rotated_file_may_end_without_a_line_end(path: Path) -> None:
    with followed(path) as follower:
        add(path, lines(3)[:-1])
        follower.wait_for(lines(1, 2))
        path.rename(f"{path}.1")
        path.write_bytes(lines(4))
        follower.wait_for(lines(1, 2, 3, 4))


def test_what_is_no_text_is_refused_at_the_start(path: Path) -> None:
    """And not later: an odd file among those that are rotated is told line by line, and holds nobody up."""
    position = once(path).position
    path.rename(f"{path}.1")
    path.write_bytes(gzip.compress(lines(3)))
    assert once(path, position).texts
    with pytest.raises(InvalidInput, match=r"no JSON Lines.*got compressed by gzip; .*zcat FILE \| foretell stream"):
        once(path)
    path.write_bytes("{}".encode("utf-16"))
    with pytest.raises(InvalidInput, match=r"in\.jsonl: .*got UTF-16 text"):
        once(path)
    come, go = os.pipe()
    os.write(go, gzip.compress(lines(1)))
    source = PipeSource(come)
    with pytest.raises(InvalidInput, match=r"standard input: .*gzip"):
        source.poll(9)
    source.close()
    for descriptor in (come, go):
        os.close(descriptor)


def test_a_file_is_known_again_when_its_disk_or_the_file_itself_has_another_number(path: Path) -> None:
    position = once(path).position
    add(path, lines(3))
    moved = {**position, "device": -1}
    assert once(path, moved).content == lines(3)
    path.write_bytes(Path(shutil.copy(path, f"{path}.restored")).read_bytes())
    os.replace(f"{path}.restored", path)
    follower = once(path, position)
    assert follower.content == lines(3)
    assert follower.said == []


def test_a_file_that_was_rotated_before_its_first_line_was_read_is_found(path: Path) -> None:
    path.write_bytes(b"")
    with followed(path) as follower:
        path.rename(f"{path}.1")
        Path(f"{path}.1").write_bytes(lines(1))
        path.write_bytes(lines(2))
        follower.wait_for(lines(1, 2))


def test_a_file_that_was_rotated_before_anything_was_committed_is_found(path: Path) -> None:
    source = FileSource(path)
    position = source.open(None)
    source.close()
    path.rename(f"{path}.1")
    path.write_bytes(lines(3))
    assert once(path, position).content == lines(1, 2, 3)


def test_a_file_that_is_written_anew_is_read_from_its_beginning(path: Path) -> None:
    with followed(path) as follower:
        follower.wait_for(lines(1, 2))
        path.write_bytes(lines(3))
        follower.wait_for(lines(1, 2, 3))
        path.write_bytes(lines(4, 5, 6, 7))  # longer than what was read
        follower.wait_for(lines(1, 2, 3, 4, 5, 6, 7))
    assert follower.source.truncations == 2
    assert len([line for line in follower.said if "cut off" in line]) == 2


def test_a_copy_that_was_made_before_the_file_was_cut_off_is_read_to_its_end(path: Path) -> None:
    """As logrotate does with copytruncate."""
    with followed(path) as follower:
        add(path, b'{"num')
        follower.wait_for(lines(1, 2))
        until(lambda: follower.source._file is not None and follower.source._file.read_to == path.stat().st_size)
        rest = lines(3, 4).removeprefix(b'{"num')
        whole = path.read_bytes() + rest
        Path(f"{path}.1").write_bytes(whole)
        path.write_bytes(lines(5))
        follower.wait_for(lines(1, 2, 3, 4, 5))
    assert follower.bad == []


def test_a_file_that_is_cut_back_and_gets_the_same_again_is_gone_on_in(path: Path) -> None:
    path.write_bytes(lines(*range(400)))
    with followed(path) as first:
        first.wait_for(lines(*range(400)))
        os.truncate(path, 50)
        until(lambda: any("is shorter" in line for line in first.said))
        add(path, lines(*range(401))[50:])
        first.wait_for(lines(*range(401)))
        assert first.source.truncations == 0
    os.truncate(path, 2000)
    source = FileSource(path, say=lambda line, /, **_: add(path, lines(*range(402))[2000:]), clock=ManualClock())
    source.open(first.position)
    found = source.poll(4)
    assert found is not None
    assert list(found.texts) == lines(401).splitlines()
    assert source.truncations == 0
    source.close()


def test_a_file_that_is_cut_back_and_gets_something_else_is_read_from_its_beginning(path: Path) -> None:
    add(path, lines(3))
    with followed(path) as follower:
        follower.wait_for(lines(1, 2, 3))
        os.truncate(path, len(lines(1)))
        until(lambda: any("is shorter" in line for line in follower.said))
        follower.wait_for(lines(1, 2, 3, 1))
        assert follower.source.truncations == 1


def test_a_line_that_was_cut_off_in_its_middle_is_a_bad_one(path: Path) -> None:
    with followed(path) as follower:
        add(path, b'{"num')
        follower.wait_for(lines(1, 2))
        until(lambda: follower.source._file is not None and follower.source._file.read_to == path.stat().st_size)
        path.write_bytes(b'ber":3}\n')
        follower.wait_for(lines(1, 2) + b'{"num\n' + b'ber":3}\n')
    assert follower.bad == ["the file was cut off, or written anew, in the middle of this line"]


@pytest.mark.parametrize("content", [lines(8), lines(8, 9, 10, 11), b""])
def test_a_file_that_was_cut_off_while_nobody_looked_is_read_from_its_beginning(path: Path, content: bytes) -> None:
    position = once(path).position
    path.write_bytes(content)
    follower = once(path, position)
    assert follower.content == content
    assert follower.source.truncations == 1
    assert "starting at the beginning" in follower.said[0]


def test_a_copy_that_was_made_while_nobody_looked_is_read_to_its_end(path: Path) -> None:
    position = once(path).position
    add(path, lines(3))
    shutil.copy(path, f"{path}.1")
    path.write_bytes(lines(4, 5, 6, 7))
    assert once(path, position).content == lines(3, 4, 5, 6, 7)


def test_a_file_that_begins_alike_and_goes_on_otherwise_is_another_one(path: Path) -> None:
    position = once(path).position
    path.unlink()
    Path(f"{path}.1").write_bytes(lines(1, 3, 4))
    path.write_bytes(lines(1, 5))
    assert once(path, position).content == lines(1, 3, 4, 1, 5)


def test_a_folder_is_no_file_that_can_be_followed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no file that can be followed"):
        FileSource(tmp_path).open(None)


def test_blank_lines_and_a_byte_order_mark_are_no_events(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + lines(1) + b"\n \t\r\n" + lines(2).replace(b"\n", b"\r\n") + b"\n")
    follower = once(path)
    assert [text.strip() for text in follower.texts] == lines(1, 2).split()
    assert [place["line"] for place in follower.places] == [1, 4]
    assert follower.position["offset"] == path.stat().st_size
    assert path.read_bytes()[follower.places[1]["offset"] :].startswith(b'{"number":2}')


def test_a_long_line_is_bad_and_never_held_as_a_whole(path: Path) -> None:
    path.write_bytes(lines(1) + b'{"number":"' + b"x" * 10_000_000 + b'"}\n' + lines(2))
    follower = once(path)
    assert [len(text) for text in follower.texts] == [len(b'{"number":1}'), 1024, len(b'{"number":2}')]
    assert "10,000,013" in follower.bad[0]
    assert follower.position["offset"] == path.stat().st_size


@given(
    st.lists(st.sampled_from([b"", b" ", b"{}", b"\r", b"12345", b"1234567890", b"x" * 25]), max_size=12),
    st.booleans(),
    st.lists(st.integers(1, 9), min_size=1, max_size=20),
    st.integers(1, 5),
)
def test_lines_are_the_same_in_whatever_pieces_they_come(
    given_lines: list[bytes], ended: bool, pieces: list[int], most: int
) -> None:
    content = b"".join(line + b"\n" for line in given_lines)
    content = content if ended else content[:-1]
    cutter, at, texts, bad, total, offsets = Cutter(10), 0, list[bytes](), 0, 0, list[int]()

    def take() -> None:
        nonlocal bad, total
        while cutter.waiting:
            cut = cutter.take(most, first=False)
            offsets.extend(total + cut.offset(text) for text in range(len(cut.texts)))
            texts.extend(cut.texts)
            bad += len(cut.bad)
            total += cut.bytes

    for size in [*pieces, len(content)]:
        cutter.feed(content[at : at + size])
        at += size
        take()
    cutter.finish()
    take()
    assert total == len(content)
    wanted = [line for line in content.split(b"\n") if line.strip()]
    assert [text if len(line) <= 10 else line for text, line in zip(texts, wanted, strict=True)] == wanted
    assert bad == sum(len(line) > 10 for line in wanted)
    assert all(content[offset:].startswith(text) for offset, text in zip(offsets, texts, strict=True))
