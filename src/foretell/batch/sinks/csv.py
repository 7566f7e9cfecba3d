"""CSV: a header, the key first, a vector of a fixed width as one column for each of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from foretell.batch.block import Scored
from foretell.batch.sinks.lines import LinesSink, Table, is_text
from foretell.columns import Bytes, Dense
from foretell.errors import InvalidSetting, ModelError
from foretell.forms.plain import Plain
from foretell.forms.texts import csv_texts, quoted
from foretell.types import ModelSpec

_SIMPLE = re.compile(r"\w[\w.-]*")


class CsvSink(LinesSink):
    """Quoted as RFC 4180 says, lines end with LF. A null is empty, and an empty text is `""`.

    A vector whose width the model tells stands in the columns `NAME_0`, `NAME_1`, or `NAME_LABEL` where its values have
    simple labels; everything else that is no single value is JSON.
    """

    suffix = ".csv"

    def table(self, scored: Scored) -> Table:
        made: Table = {}
        for name, cells in self.named_cells(scored):
            names = () if name in scored.keys or name in self.stamp else columns_of(name, self.spec)
            spread = _spread(name, names, cells) if names else [(name, cells)]
            for column, values in spread:
                if column in made:
                    fix = "rename the column of the data, or write JSON Lines or Parquet"
                    raise InvalidSetting(f"the output would have two columns {column!r}", fix=fix)
                with is_text(name):
                    made[column] = csv_texts(values)
        return made

    def header(self, names: tuple[str, ...]) -> bytes:
        return b",".join(quoted([name.encode() for name in names])) + b"\n"

    def lines(self, table: Table, rows: int) -> bytes:
        if len(table) == 1:  # an empty line would be no row
            return b"".join([(text or b'""') + b"\n" for text in next(iter(table.values()))])
        return b"\n".join(map(b",".join, zip(*table.values(), strict=True))) + b"\n" if table else b'""\n' * rows


def columns_of(name: str, spec: ModelSpec) -> tuple[str, ...]:
    """The columns of an output that is a vector of a fixed width; none for all others."""
    tensor = spec.output(name)
    if tensor is None or tensor.shape is None or len(tensor.shape) != 1 or tensor.shape[0] in (None, 0, 1):
        return ()
    width = tensor.shape[0] or 0
    labels = (spec.labels or {}).get(name, ())
    simple = len(set(labels)) == width and all(_SIMPLE.fullmatch(label) for label in labels)
    return tuple(f"{name}_{label}" for label in (labels if simple else range(width)))


def _spread(name: str, names: tuple[str, ...], column: Plain) -> Iterator[tuple[str, Plain]]:
    if isinstance(column, Dense) and column.row_shape == (len(names),):
        for at, each in enumerate(names):
            yield each, Dense(column.data[:, at], column.valid)
        return
    if isinstance(column, Bytes) and column.row_shape == (len(names),):
        items = column.items()
        for at, each in enumerate(names):
            text = Bytes.of(items[at :: len(names)])
            yield each, Bytes(text.offsets, text.data, (), column.valid)
        return
    got = "rows of different length" if not isinstance(column, (Dense, Bytes)) else f"rows of {column.row_shape}"
    raise ModelError(f"output {name!r} is not what the model tells", expected=f"rows of {len(names)} values", got=got)
