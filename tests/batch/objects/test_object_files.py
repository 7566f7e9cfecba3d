"""Images, texts and archives of them in object storage: the same rows as on a disk."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest
from file_sources import TEXTS, encoded, opened, read, takes
from s3_server import S3Server

from foretell.errors import InvalidInput

PIXELS = takes(2, 3, 3)


def image(number: int) -> bytes:
    return encoded(np.full((2, 3, 3), number, np.uint8), "PNG")


def packed(kind: str, count: int) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            for number in range(count):
                archive.writestr(f"{number}.png", image(number))
    else:
        with tarfile.open(fileobj=file, mode="w:gz" if kind == "tgz" else "w") as archive:
            for number in range(count):
                member = tarfile.TarInfo(f"{number}.png")
                member.size = len(image(number))
                archive.addfile(member, io.BytesIO(image(number)))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_an_archive_is_read_where_it_lies(s3: S3Server, kind: str) -> None:
    s3.put("box", f"in/a.{kind}", packed(kind, 100))
    source = opened(f"s3://box/in/a.{kind}", PIXELS)
    made = read(source, shards=[1, 0])
    assert sorted(made.names) != made.names and len(made.names) > 4
    assert [int(cell[0, 0, 0]) for cell in made.cells] == [int(name.partition(".")[0]) for name in made.names]
    source.close()


def test_images_and_lines_are_read_where_they_lie(s3: S3Server) -> None:
    for number in range(3):
        s3.put("box", f"images/{number}.png", image(number))
    s3.put("box", "texts/a.txt", b"one\r\ntwo")
    source = opened("s3://box/images", PIXELS)
    made = read(source)
    assert made.names == [f"s3://box/images/{number}.png" for number in range(3)]
    assert [int(cell[0, 0, 0]) for cell in made.cells] == [0, 1, 2]
    source.close()
    lines = opened("s3://box/texts", TEXTS)
    assert read(lines).cells == [b"one", b"two"]
    lines.close()


def test_very_many_images_belong_into_archives(s3: S3Server) -> None:
    for number in range(1001):
        s3.put("box", f"images/{number}.png", b"x")
    with pytest.raises(InvalidInput, match=r"too many files are named one by one.*pack them into tar archives"):
        opened("s3://box/images", PIXELS)
