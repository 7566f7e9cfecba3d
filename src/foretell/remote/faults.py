"""An `InferenceError` to plain data and back: the same class of ours, the same text, the same code."""

from __future__ import annotations

from collections.abc import Mapping

from foretell import errors
from foretell.errors import InferenceError, RowError
from foretell.remote.messages import FaultNote, RowNote


def fault_note(error: InferenceError) -> FaultNote:
    """Of a class that is not ours, the nearest one of ours that it comes from; its code and text stay."""
    kind = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    what, where, expected, got, fix = (
        text(getattr(error, name, "")) for name in ("what", "where", "expected", "got", "fix")
    )
    rows = row_notes(getattr(error, "rows", {}))
    return FaultNote(kind, text(error.code), bool(error.retryable), text(error), what, where, expected, got, fix, rows)


def fault(note: FaultNote) -> InferenceError:
    """Raises `ValueError` where there is no such class."""
    kind = getattr(errors, note.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, InferenceError)):
        raise ValueError(f"no error {note.kind[:80]!r}")
    error = kind(note.what, where=note.where, expected=note.expected, got=note.got, fix=note.fix)
    error.rows = row_errors(note.rows)
    if str(error) != note.text:
        error.args = (note.text,)
    if (error.code, error.retryable) != (note.code, note.retryable):  # of a class of the model's own
        vars(error).update(code=note.code, retryable=note.retryable)
    return error


def row_notes(errors: Mapping[int, RowError]) -> dict[int, RowNote]:
    return {int(row): (text(error.code), text(error.message), int(error.attempts)) for row, error in errors.items()}


def row_errors(notes: Mapping[int, RowNote]) -> dict[int, RowError]:
    return {row: RowError(*note) for row, note in notes.items()}


def text(value: object) -> str:
    """As UTF-8 can carry it: names of files may hold bytes that are no text."""
    return str(value).encode("utf-8", "backslashreplace").decode()
