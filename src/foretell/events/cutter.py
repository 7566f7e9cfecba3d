"""Bytes that come in any pieces, cut into lines; a line that is too long is never in memory as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from foretell.errors import InvalidInput, RowError

_KEPT_BYTES = 1024
_BOM = b"\xef\xbb\xbf"
_BROKEN = RowError.of(InvalidInput("the file was cut off, or written anew, in the middle of this line"))


@dataclass(slots=True)
class Lines:
    """Lines that were cut. `texts`: those that are not blank, without their ends; `bad`: of which only the beginning is
    here, and why.

    `numbers`: of each text, how many lines stand before it; None where no line is blank. `sizes`: bytes of each line,
    blank ones too. `bytes`: of all lines with their ends.
    """

    texts: list[bytes]
    sizes: list[int]
    bytes: int
    numbers: list[int] | None = None
    bad: dict[int, RowError] = field(default_factory=dict)

    def number(self, text: int) -> int:
        """Lines before this text."""
        return text if self.numbers is None else self.numbers[text]

    def offset(self, text: int) -> int:
        """Bytes before this text."""
        number = self.number(text)
        return sum(self.sizes[:number]) + number


class Cutter:
    """Holds what was fed and not yet taken: lines, and the beginning of the next one.

    A line of more than `most_bytes` ends as a bad one of which the first 1,024 bytes are kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._lines: list[bytes] = []
        self._sizes: dict[int, int] = {}
        """Of the lines that are too long, by their place in `_lines`; below 0 where they are broken: -1 - size."""
        self._at = 0
        """What of `_lines` was taken."""
        self._rest = b""
        self._skipped = 0
        """Bytes of a line that is too long and has not ended; `_rest` is its beginning then."""
        self._unended = False
        """The last of `_lines` has no line end."""

    @property
    def waiting(self) -> int:
        """Lines that can be taken."""
        return len(self._lines) - self._at

    def feed(self, data: bytes) -> None:
        if self._skipped:
            end = data.find(b"\n")
            if end < 0:
                self._skipped += len(data)
                return
            self._add_long(self._rest, self._skipped + end)
            self._rest, self._skipped, data = b"", 0, data[end + 1 :]
        lines = data.split(b"\n")
        lines[0] = self._rest + lines[0]
        self._rest = lines.pop()
        if lines and max(map(len, lines)) > self._most:
            for line in lines:
                self._add(line)
        else:
            self._lines += lines
        if len(self._rest) > self._most:
            self._rest, self._skipped = self._rest[:_KEPT_BYTES], len(self._rest)

    def finish(self, *, broken: bool = False) -> None:
        """What has no line end is a line, too; nothing is fed any more before all of it is taken. `broken`: it is a bad
        one, whose end was never read."""
        size = self._skipped or len(self._rest)
        if not size:
            return
        if broken:
            self._sizes[len(self._lines)] = -1 - size
        elif self._skipped:
            self._sizes[len(self._lines)] = size
        self._lines.append(self._rest)
        self._rest, self._skipped, self._unended = b"", 0, True

    def take(self, most: int, *, first: bool) -> Lines:
        """The next lines, at most `most`. `first`: they are the first of a file, where a byte order mark is dropped."""
        raw = self._lines[self._at : self._at + most]
        sizes = list(map(len, raw))
        bad: dict[int, RowError] = {}
        if self._sizes:
            for at in range(len(raw)):
                size = self._sizes.pop(self._at + at, None)
                if size is not None:
                    sizes[at] = size if size >= 0 else -1 - size
                    bad[at] = self._too_long(size) if size >= 0 else _BROKEN
        self._at += len(raw)
        total = sum(sizes) + len(raw)
        if self._at == len(self._lines):
            total -= self._unended
            self._lines, self._at, self._unended = [], 0, False
        if first and raw:
            raw[0] = raw[0].removeprefix(_BOM)
        if all(sizes) and not any(map(bytes.isspace, raw)) and (raw[0] if raw else True):
            return Lines(raw, sizes, total, None, bad)
        numbers = [at for at, line in enumerate(raw) if at in bad or line.strip()]
        texts = [raw[at] for at in numbers]
        return Lines(texts, sizes, total, numbers, {text: bad[at] for text, at in enumerate(numbers) if at in bad})

    def _add(self, line: bytes) -> None:
        if len(line) > self._most:
            self._add_long(line, len(line))
        else:
            self._lines.append(line)

    def _add_long(self, line: bytes, size: int) -> None:
        self._sizes[len(self._lines)] = size
        self._lines.append(line[:_KEPT_BYTES])

    def _too_long(self, size: int) -> RowError:
        fix = "raise --max-line-bytes if such events are right"
        return RowError.of(InvalidInput("the line is too long", expected=f"at most {self._most:,} bytes",
                                        got=f"{size:,}", fix=fix))  # fmt: skip
