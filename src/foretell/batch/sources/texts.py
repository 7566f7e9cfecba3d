"""Text files, of which each is a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foretell.batch.block import Block
from foretell.batch.shards import Shard
from foretell.batch.sources.files import FILE, FileSource
from foretell.batch.sources.holders import Entry
from foretell.errors import InvalidInput, RowError

MOST_BYTES = 4 * 2**20
"""Of one text. Longer ones are no input of any model that is known."""
MOST_BLOCK_BYTES = 32 * 2**20
"""Of the texts that are in memory as one block."""
_BOM = b"\xef\xbb\xbf"


class TextSource(FileSource):
    """Rows are UTF-8; a byte order mark is dropped. A file that is none is a bad row."""

    kind, content, content_kind = "texts", "text", "text"
    shard_files = 2048
    most_bytes = MOST_BYTES

    def read(self, shard: Shard, columns: Sequence[str], rows: int) -> Iterator[Block]:
        names: list[str] = []
        texts: list[bytes] = []
        bad: dict[int, RowError] = {}
        first, size = shard.first_row, 0
        for entry in self.holder(shard.file).read(shard):
            text, why = _text_of(entry)
            if why is not None:
                bad[len(texts)] = why
            names.append(entry.name)
            texts.append(text)
            size += len(text)
            if len(texts) == rows or size >= MOST_BLOCK_BYTES:
                yield self._block(names, texts, shard.file, first, bad)
                first, size = first + len(texts), 0
                names, texts, bad = [], [], {}
        if texts:
            yield self._block(names, texts, shard.file, first, bad)

    def _block(self, names: list[str], texts: list[bytes], file: int, first: int, bad: dict[int, RowError]) -> Block:
        return Block({FILE: names, self.content: texts}, len(texts), file, first, bad)


def _text_of(entry: Entry) -> tuple[bytes, RowError | None]:
    if entry.why is not None:
        return b"", entry.why
    try:
        return checked(entry.content, entry.where), None
    except InvalidInput as error:
        return b"", RowError.of(error)


def checked(content: bytes, where: str, *, first: bool = True) -> bytes:
    """The text without its mark. `first`: it stands at the beginning of a file. Raises `InvalidInput` where it is not
    UTF-8, naming the byte."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("the text is not UTF-8", where=f"{where}, byte {error.start}",
                           got=f"0x{content[error.start]:02x}", fix="save it as UTF-8") from None  # fmt: skip
    return content.removeprefix(_BOM) if first else content
