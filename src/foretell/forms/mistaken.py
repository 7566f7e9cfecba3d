"""What a file is that is no text of its kind, told by how it begins."""

from __future__ import annotations

from foretell.compression import KINDS
from foretell.errors import InvalidInput

_BEGINNINGS = {
    b"\x1f\x8b": "compressed by gzip", b"\x28\xb5\x2f\xfd": "compressed by zstd", b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz", b"\x04\x22\x4d\x18": "compressed by lz4", b"PK\x03\x04": "a zip archive",
    b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text", b"PAR1": "Parquet", b"ARROW1": "Arrow",
    b"\x93NUMPY": "npy", b"SQLite format 3": "a database of SQLite",
}  # fmt: skip
_BY_NAME = {f"compressed by {kind}": ending for ending, kind in KINDS.items()}
LOOKED_AT_BYTES = 16
"""Of a file are enough."""


def check_text(beginning: bytes, where: str, expected: str, unpack: str = "") -> None:
    """Raises `InvalidInput` for the beginning of a file that is something else. `expected`: what it should be.
    `unpack`: what to do with one that is compressed, where its name would not help."""
    got = next((what for magic, what in _BEGINNINGS.items() if beginning.startswith(magic)), "")
    if not got and b"\0" in beginning[:2]:
        got = "UTF-16 text without a mark, or no text"
    if got:
        fix = unpack if unpack and got in _BY_NAME else _fix(got)
        raise InvalidInput(f"this is no {expected}", where=where, expected="UTF-8 text", got=got, fix=fix)


def _fix(got: str) -> str:
    if got in _BY_NAME:
        return f"let its name end in {_BY_NAME[got]}"
    if got.startswith(("compressed", "a zip")):
        return "decompress it"
    return "save it as UTF-8" if "UTF-16" in got else "name its own format"
