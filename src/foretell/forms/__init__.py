"""Rows in every form people have them <-> `Batch`.

Forms: a value, list, nested list or list of dicts; a dict of values or of columns; NumPy arrays; pandas, Polars and
Arrow frames, tables, series and arrays. Answers come in the form of the question.

**One row or rows, the one rule.** Where the model tells its inputs, an input with the rank of one row is a single row
and gets a single answer; an input with one more axis is rows. A dict is a single row if each of its values has the
rank of one row of its input (of one value, where several columns make up the input), and columns if each has one axis
more. Where the rank is not known, a string, bytes, a number, or a dict of those is a single row, and everything else
is rows. Data frames, tables, series and lists of dicts are always rows, and so is an empty list. Where a row is one
value in brackets (shape (1,)), a plain value is a single row, and a flat list of n values is n rows, also for n = 1.
"""

from foretell.forms.answer import from_batch
from foretell.forms.chunking import chunks, count_rows, join
from foretell.forms.form import Form, Kind
from foretell.forms.intake import Intake, is_single, to_batch
from foretell.forms.values import to_column, to_numpy, to_python

__all__ = [
    "Form",
    "Intake",
    "Kind",
    "chunks",
    "count_rows",
    "from_batch",
    "is_single",
    "join",
    "to_batch",
    "to_column",
    "to_numpy",
    "to_python",
]
