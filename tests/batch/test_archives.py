"""Archives of images and texts: the same rows as a folder, and entries that nobody should unpack."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from file_sources import TEXTS, encoded, opened, read, read_all, takes

from foretell.batch.inputs import find_inputs
from foretell.batch.shards import ShardSize
from foretell.errors import InvalidInput

KINDS = ("plain.tar", "packed.tar.gz", "packed.tgz", "packed.zip")
SPEC = takes(4, 6, 3)


def pixels(number):
    return np.full((4, 6, 3), number, np.uint8)


def pack(path, files):
    """`files`: names and contents, in this order."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, content in files:
            add(archive, name, content)
    return path


def add(archive, name, content=b"", **more):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in more.items():
        setattr(member, key, value)
    archive.addfile(member, io.BytesIO(content))


def png(number):
    return encoded(pixels(number), "PNG")


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_has_the_rows_of_its_images(tmp_path, name):
    long = "deep/" * 40 + "ä.png"
    files = [("z.png", png(1)), ("labels.csv", b"x"), ("a/b.PNG", png(2)), (long, png(3)), ("bad.png", b"no")]
    made = read_all(pack(tmp_path / name, files), SPEC)
    assert made.names == ["z.png", "a/b.PNG", long, "bad.png"]  # as they lie in it
    assert [int(cell[0, 0, 0]) for cell in made.cells[:3]] == [1, 2, 3]
    assert made.bad[3].message.startswith(f"{tmp_path}/{name}, entry bad.png: not a readable image")


@pytest.mark.parametrize("name", KINDS)
def test_shards_of_an_archive_are_read_in_any_order(tmp_path, name):
    count = 200
    path = pack(tmp_path / name, [(f"{number}.png", png(number)) for number in range(count)])
    source = opened(path, SPEC)
    shards = source.shards(ShardSize())
    assert len(shards) > 3 and shards[0].rows == 4
    assert [shard.first_row for shard in shards] == [sum(s.rows for s in shards[:at]) for at in range(len(shards))]
    made = read(source)
    assert [int(cell[0, 0, 0]) for cell in made.cells] == list(range(count))
    order = [2, 0, 3, 1]
    again = read(source, rows=7, shards=order)
    spans = [range(shards[at].first_row, shards[at].first_row + shards[at].rows) for at in order]
    assert again.names == [made.names[row] for span in spans for row in span]
    source.close()
    other = opened(path, SPEC)  # as in another process, which has planned nothing
    assert read(other, shards=[3]).names == made.names[shards[3].first_row :][: shards[3].rows]
    other.close()


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_of_texts(tmp_path, name):
    made = read_all(pack(tmp_path / name, [("b.txt", b"\xef\xbb\xbfone\n"), ("a.txt", "zwö".encode())]), TEXTS)
    assert (made.names, made.cells) == (["b.txt", "a.txt"], [b"one\n", "zwö".encode()])


def test_a_folder_of_archives(tmp_path):
    pack(tmp_path / "1.tar", [("a.png", png(1)), ("b.png", png(2))])
    pack(tmp_path / "2.tar", [("a.png", png(3))])
    kind, files = find_inputs(tmp_path)
    assert (kind, len(files)) == ("images", 2)
    made = read_all(tmp_path, SPEC)
    assert [int(cell[0, 0, 0]) for cell in made.cells] == [1, 2, 3]
    assert sorted({file for file, _ in made.firsts}) == [0, 1]


def test_what_an_archive_holds_is_told_by_its_names(tmp_path):
    both = pack(tmp_path / "both.zip", [("a.png", png(1)), ("b.txt", b"x"), ("c.csv", b"x")])
    assert find_inputs(both)[0] == "images"  # a note beside them is no data
    assert find_inputs(both, "texts")[0] == "texts"
    assert read_all(both, TEXTS, "texts").names == ["b.txt"]
    neither = pack(tmp_path / "neither.tar", [("c.csv", b"x")])
    with pytest.raises(InvalidInput, match=r"neither images nor texts are in the archive; got \.csv"):
        find_inputs(neither)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_archive_is_said(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b junk that is no archive at all" * 50)
    with pytest.raises(InvalidInput, match=f"{name}: the archive cannot be read"):
        find_inputs(tmp_path / name)


def test_an_archive_that_is_cut_off_is_said(tmp_path):
    path = pack(
        tmp_path / "a.tar.gz", [(f"{number}.png", np.random.default_rng(number).bytes(9999)) for number in range(20)]
    )
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(InvalidInput, match=r"a\.tar\.gz: the archive cannot be read"):
        read_all(path, SPEC)
    plain = pack(tmp_path / "a.tar", [(f"{number}.png", png(number)) for number in range(20)])
    whole = plain.read_bytes()
    for broken in (whole[: 1024 * 9 + 20], whole[: 1024 * 9 + 700], whole[: 1024 * 9] + b"x" + whole[1024 * 9 + 1 :]):
        plain.write_bytes(broken)
        with pytest.raises(InvalidInput, match=r"a\.tar: the archive cannot be read"):
            read_all(plain, SPEC)


UNSAFE = ["/etc/a.png", "../a.png", "a/../../b.png", "C:\\a.png", "..\\a.png", "\\a.png"]


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip"])
def test_entries_that_point_elsewhere_are_refused_by_name(tmp_path, name):
    path = pack(tmp_path / name, [("good.png", png(1)), *[(each, png(2)) for each in UNSAFE], ("fine..png", png(3))])
    made = read_all(path, SPEC)
    assert sorted(made.bad) == list(range(1, 1 + len(UNSAFE)))
    for row, each in enumerate(UNSAFE, 1):
        assert "the entry is refused: its name" in made.bad[row].message and each in made.bad[row].message
    assert [int(made.cells[at][0, 0, 0]) for at in (0, -1)] == [1, 3]


def test_links_and_devices_are_refused_by_name(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "good.png", png(1))
        add(archive, "soft.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "hard.png", type=tarfile.LNKTYPE, linkname="good.png")
        add(archive, "device.png", type=tarfile.CHRTYPE)
        add(archive, "pipe.png", type=tarfile.FIFOTYPE)
        add(archive, "folder.png", type=tarfile.DIRTYPE)
        add(archive, "last.png", png(2))
    made = read_all(tmp_path / "a.tar", SPEC)
    assert made.names == ["good.png", "soft.png", "hard.png", "device.png", "pipe.png", "last.png"]
    assert {row: made.bad[row].message.rpartition(": ")[2] for row in made.bad} == {
        1: "it is a link", 2: "it is a link", 3: "it is no file", 4: "it is no file",
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("soft.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("good.png", png(1))
    made = read_all(tmp_path / "a.zip", SPEC)
    assert list(made.bad) == [0] and made.bad[0].message.endswith("the entry is refused: it is a link")


def test_an_entry_that_is_larger_than_it_says_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.zip"
    pack(path, [("bomb.txt", bytes(50_000_000)), ("good.txt", b"good")])
    content = path.read_bytes()
    assert len(content) < 100_000
    small = content.replace(struct.pack("<I", 50_000_000), struct.pack("<I", 100))
    path.write_bytes(small)
    given = []
    read_some = zipfile.ZipExtFile._read1

    def counting(self, n):
        given.append(read_some(self, n))
        return given[-1]

    monkeypatch.setattr(zipfile.ZipExtFile, "_read1", counting)
    made = read_all(path, TEXTS)
    assert "entry bomb.txt: the entry cannot be read: Bad CRC-32" in made.bad[0].message
    assert made.cells[1] == b"good"
    assert max(map(len, given)) < 10_000


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
def test_an_entry_that_is_too_large_is_passed_over(tmp_path, name):
    made = read_all(pack(tmp_path / name, [("big.txt", bytes(5_000_000)), ("good.txt", b"good")]), TEXTS)
    assert (
        "entry big.txt: the file is too large; expected at most 4,194,304 bytes, got 5,000,000" in made.bad[0].message
    )
    assert made.cells[1] == b"good"


def test_an_entry_that_is_encrypted_or_packed_in_another_way_is_left_out(tmp_path):
    path = pack(tmp_path / "a.zip", [("a.txt", b"some text" * 9), ("b.txt", b"good")])
    content = bytearray(path.read_bytes())
    for sign, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(sign) + offset] |= 1
    path.write_bytes(content)
    made = read_all(path, TEXTS)
    assert "entry a.txt: the entry is refused: it is encrypted" in made.bad[0].message and made.cells[1] == b"good"
    pack(path, [("a.txt", b"some text" * 9), ("b.txt", b"good")])
    content = bytearray(path.read_bytes())
    for sign, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(sign) + offset] = 99
    path.write_bytes(content)
    made = read_all(path, TEXTS)
    assert "entry a.txt: the entry cannot be read: That compression method" in made.bad[0].message


def test_an_archive_that_changed_is_noticed(tmp_path):
    path = pack(tmp_path / "a.tar", [(f"{number}.png", png(number)) for number in range(10)])
    planned, source = opened(path, SPEC), opened(path, SPEC)
    shards = planned.shards(ShardSize())
    planned.close()  # as the process that plans: who reads has nothing of it in a buffer
    pack(path, [("0.png", png(1))])
    with pytest.raises(InvalidInput, match=r"a\.tar: the (input changed|archive cannot be read)"):
        list(source.read(shards[-1], ("file", "image"), 10))
    source.close()
