"""Words for booleans, as CSV has them: what they mean, only the input tells that takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foretell.types import DataType, TensorSpec

FLAGS: Mapping[str, bool] = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
"""What `pandas.DataFrame.to_csv` writes, JSON, and spreadsheets."""

Value = bool | int | float | None


class Words(list[str | None]):
    """Cells of text, each of which is a word for a boolean, a number or a null, and some of which are such words.

    `values`: what they are to a model that takes no text.
    """

    def __init__(self, cells: Sequence[str], values: Sequence[Value]) -> None:
        super().__init__(cell or None for cell in cells)
        self.values = list(values)

    def meant(self, spec: TensorSpec | None) -> list[Value] | list[str | None]:
        """The cells as `spec` takes them: its text, or its booleans and numbers."""
        of_text = spec is not None and spec.datatype is DataType.BYTES
        return list(self) if of_text else self.values


def flag(cell: str) -> bool | None:
    """The boolean that a cell is the word for, if it is one. Blanks around it count for nothing."""
    return FLAGS.get(cell.strip())
