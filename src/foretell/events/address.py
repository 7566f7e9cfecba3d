"""What the words for a source and a sink mean."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from foretell.errors import InvalidSetting

STDIO = "-"


def path_of(address: str | Path, what: str) -> Path | None:
    """The file that an address names; None for standard input or output. Raises `InvalidSetting`."""
    text = str(address)
    if text == STDIO:
        return None
    if not text.strip():
        raise InvalidSetting(f"the {what} is empty", expected="a path, file:///path, or -")
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme != "file":
        fix = "read and write files or pipes: its own client can sit at the other end"
        raise InvalidSetting(f"a {what} of this kind is not known", where=text, expected="a path, file:///path, or -",
                             got=f"{parts.scheme}://", fix=fix)  # fmt: skip
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InvalidSetting(f"the {what} names no file of this machine", where=text, expected="file:///path")
    return Path(unquote(parts.path))


def state_folder(sink: Path) -> Path:
    """Where the record of a stream lies, where nobody has named a place."""
    return sink.with_name(f"{sink.name}.foretell-stream")


def letters_file(sink: Path) -> Path:
    """Where dead letters go, where nobody has named a file: `out.dead-letters.jsonl` beside `out.jsonl`."""
    return sink.with_name(f"{sink.stem}.dead-letters{sink.suffix or '.jsonl'}")
