"""What stands between the cells of CSV, as people write it."""

from __future__ import annotations

from foretell.errors import InvalidSetting

_NAMES = {"tab": "\t", "\\t": "\t"}


def delimiter_of(text: str) -> str:
    """Raises `InvalidSetting` for what cannot stand between cells."""
    mark = _NAMES.get(text, text)
    if len(mark) == 1 and mark.isascii() and not mark.isalnum() and mark not in '"\r\n\0':
        return mark
    raise InvalidSetting("--delimiter is no mark between cells", got=repr(text),
                         expected="one character of ASCII, such as ';' or '|', or tab")  # fmt: skip
