"""JSON Lines: one object a line, the key first, then every output under its own name."""

from __future__ import annotations

from foretell.batch.block import Scored
from foretell.batch.sinks.lines import LinesSink, Table, is_text
from foretell.forms.texts import json_lines, json_texts


class JsonLinesSink(LinesSink):
    """Vectors are lists; nulls, NaN and infinities are null."""

    suffix = ".jsonl"

    def table(self, scored: Scored) -> Table:
        made: Table = {}
        for name, cells in self.named_cells(scored):
            with is_text(name):
                made[name] = json_texts(cells)
        return made

    def header(self, names: tuple[str, ...]) -> bytes:
        return b""

    def lines(self, table: Table, rows: int) -> bytes:
        return json_lines(table, rows)
