"""Numbers and texts as the report for people shows them. Nothing of a text can be markup, or turn the line around."""

from __future__ import annotations

import msgspec

_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")
_SEEN_TOO = frozenset("\u200c\u200d\u00a0\u202f\u3000")
"""Joiners, without which some scripts and emoji are not what was written, and spaces; they turn nothing around."""
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def escaped(text: object) -> str:
    """For HTML, also within an attribute. What cannot be seen, and what changes the direction, is written out."""
    seen = "".join(each if each.isprintable() or each in _SEEN_TOO else _written(each) for each in str(text))
    return seen.translate(_MARKUP)


def _written(character: str) -> str:
    return " " if character in "\n\r\t\u2028\u2029" else f"\\u{ord(character):04x}"


def cut(text: str, most: int = 400) -> str:
    """The beginning of a long text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def encoded(value: object) -> str:
    """As JSON."""
    return msgspec.json.encode(value).decode()


def count(number: float) -> str:
    """1,234,567; of small ones that are not whole, what counts."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:,.3g}"


def short(number: float) -> str:
    """For axes: 950, 12k, 1.5M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def size(number: int) -> str:
    """1.24 GB, in steps of a thousand."""
    value, at = float(number), 0
    while value >= 999.5 and at < len(_UNITS) - 1:
        value, at = value / 1000, at + 1
    return f"{number:,} bytes" if at == 0 else f"{value:.3g} {_UNITS[at]}"


def lasted(seconds: float) -> str:
    """45 ms, 8.4 s, 3 min 10 s, 2 h 5 min."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def counted(number: int, one: str, more: str = "") -> str:
    """1 row, 2 rows."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
