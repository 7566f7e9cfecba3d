"""Texts as rows: each file of a folder, each line of a file."""

from __future__ import annotations

import pytest
from file_sources import TEXTS, opened, read, read_all

from foretell.batch.shards import ShardSize
from foretell.batch.sources.texts import MOST_BYTES


def lines_of(tmp_path, content, **more):
    (tmp_path / "a.txt").write_bytes(content)
    return read_all(tmp_path / "a.txt", TEXTS, **more)


def test_each_file_of_a_folder_is_a_row(tmp_path):
    (tmp_path / "b").mkdir()
    contents = {
        "a.txt": b"one\ntwo\n",
        "b/c.txt": "\ufeffzwö".encode(),
        "d.txt": b"",
        "e.txt": b"caf\xe9",
        "f.txt": b"x",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    made = read_all(tmp_path, TEXTS)
    assert made.names == list(contents)
    assert made.cells[:3] == [b"one\ntwo\n", "zwö".encode(), b""] and made.cells[4] == b"x"
    assert made.bad[3].message == f"{tmp_path}/e.txt, byte 3: the text is not UTF-8; got 0xe9; save it as UTF-8"


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"one\ntwo\n", [b"one", b"two"]),
        (b"one\ntwo", [b"one", b"two"]),
        (b"one\r\n\r\ntwo\r\n", [b"one", b"", b"two"]),
        (b"\n", [b""]),
        (b"\n\nx", [b"", b"", b"x"]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo", [b"one", b"\xef\xbb\xbftwo"]),
        ("eins\u2028zwö\x85drei\n".encode(), ["eins\u2028zwö\x85drei".encode()]),
    ],
)
def test_each_line_of_a_file_is_a_row(tmp_path, content, texts):
    assert lines_of(tmp_path, content).cells == texts


def test_a_line_that_cannot_be_read_is_named(tmp_path):
    made = lines_of(tmp_path, b"one\n\xff\xfe\n" + b"x" * (MOST_BYTES + 5) + b"\nlast\n" + b"y" * MOST_BYTES + b"\n")
    assert [len(cell) for cell in made.cells] == [3, 0, 0, 4, MOST_BYTES]
    assert made.bad[1].message.startswith(f"{tmp_path}/a.txt, line 2, byte 0: the text is not UTF-8; got 0xff")
    assert made.bad[2].message.startswith(f"{tmp_path}/a.txt, line 3: the line is too long; expected at most 4,194,304")
    assert sorted(made.bad) == [1, 2]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("count", [1, 127, 128, 129, 2176, 2177, 9000])
def test_shards_cut_between_lines(tmp_path, count, ending):
    texts = [(b"line %d " % number) * (number % 50) for number in range(count)]
    (tmp_path / "a.txt").write_bytes(ending.join(texts) + ending)
    source = opened(tmp_path / "a.txt", TEXTS)
    shards = source.shards(ShardSize())
    assert sum(shard.rows for shard in shards) == count
    assert max(shard.rows for shard in shards) <= 2048 and shards[0].rows <= 128
    assert [(shard.start, shard.first_row) for shard in shards[1:]] == [
        (shard.stop, shard.first_row + shard.rows) for shard in shards[:-1]
    ]
    assert read(source).cells == texts
    order = list(range(len(shards)))[::-1]
    again = read(source, rows=100, shards=order)
    assert again.cells == [text for at in order for text in texts[shards[at].first_row :][: shards[at].rows]]
    source.close()


def test_lines_of_several_files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"{name}1\n{name}2\n")
    made = read_all(f"{tmp_path}/*.txt", TEXTS)
    assert made.cells == [b"a1", b"a2", b"b1", b"b2"]
    assert made.firsts == [(0, 0), (1, 0)]
    assert read_all(tmp_path, TEXTS, "lines").cells == made.cells


def test_blocks_of_long_texts_are_small(tmp_path):
    (tmp_path / "a.txt").write_bytes((b"x" * (MOST_BYTES - 1) + b"\n") * 20)
    made = read_all(tmp_path / "a.txt", TEXTS)
    assert sum(made.blocks) == 20 and max(made.blocks) == 9
