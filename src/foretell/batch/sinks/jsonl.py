"""JSON Lines: one object a line, the key first, then every output under its own name."""

from __future__ import annotations

from itertools import chain, repeat

import orjson

from foretell.batch.block import Scored
from foretell.batch.sinks.lines import LinesSink, Table, is_text
from foretell.batch.sinks.texts import json_texts


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
        if not table:
            return b"{}\n" * rows
        pieces = [repeat(orjson.dumps(name) + b":") for name in table]
        marks = [repeat(mark) for mark in (b"{", *[b","] * (len(table) - 1))]
        columns = chain.from_iterable(zip(marks, pieces, table.values(), strict=True))
        return b"".join(chain.from_iterable(zip(*columns, repeat(b"}\n"), strict=False)))
