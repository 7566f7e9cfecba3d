"""Dates and times that people write, beside those of a column."""

from __future__ import annotations

from datetime import UTC, date, datetime

from foretell.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_S = 86_400


def written(text: str, column: str, kind: str) -> str:
    """`text` in ISO 8601 with an offset, to be compared with a column of the Arrow type `kind`, such as "date32[day]"
    or "timestamp[us, tz=UTC]". Without an offset a time means UTC.

    Raises `InvalidInput` for what is no date or time, and for an offset where the column has none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        expected = "one in ISO 8601, such as 2026-01-31 or 2026-01-31T23:59"
        raise InvalidInput(f"--where compares column {column!r} with no date or time", expected=expected,
                           got=repr(text)) from None  # fmt: skip
    if moment.tzinfo is not None and "tz=" not in kind:
        what = f"--where compares column {column!r}, whose times are of no zone, with one that is"
        raise InvalidInput(what, expected="a time without an offset", got=repr(text))
    return _aware(moment).isoformat()


def number_of(moment: str, unit: str) -> int | float:
    """How many units after 1970 began in UTC: whole where it falls on one. `unit`: "D", "s", "ms", "us" or "ns"."""
    since = datetime.fromisoformat(moment) - _EPOCH
    micros = (since.days * _DAY_S + since.seconds) * 10**6 + since.microseconds
    if unit == "ns":
        return micros * 1000
    size = _DAY_S * 10**6 if unit == "D" else 10**6 // _PER_SECOND[unit]
    return micros / size if micros % size else micros // size


def moment_of(value: date | str) -> datetime:
    """Of a date or a time, or of what `written` has made. A date is its first moment, in UTC."""
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return _aware(value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC))


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
