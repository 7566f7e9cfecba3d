"""From the name of a format to what writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from foretell.errors import InvalidSetting, nearest
from foretell.types import ModelSpec

if TYPE_CHECKING:
    from foretell.batch.sinks.sink import Sink

SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def open_sink(
    kind: str, spec: ModelSpec, metadata: Mapping[str, str], stamp: Mapping[str, str], group_rows: int
) -> Sink:
    """Raises `InvalidSetting` for a format that nothing writes."""
    kinds: dict[str, Callable[[], type[Sink]]] = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl}
    if kind not in kinds:
        raise InvalidSetting(f"there is no output {kind!r}", fix=nearest(kind, kinds))
    return kinds[kind]()(spec, metadata, stamp, group_rows)


def _parquet() -> type[Sink]:
    from foretell.batch.sinks.parquet import ParquetSink

    return ParquetSink


def _csv() -> type[Sink]:
    from foretell.batch.sinks.csv import CsvSink

    return CsvSink


def _jsonl() -> type[Sink]:
    from foretell.batch.sinks.jsonl import JsonLinesSink

    return JsonLinesSink
