"""From the name of a format to the source that reads it."""

from __future__ import annotations

from collections.abc import Callable

from foretell.batch.job import Data
from foretell.batch.sources.source import Source
from foretell.errors import InvalidInput, nearest


def open_source(data: Data) -> Source:
    """Raises `MissingExtra` where its library is not installed."""
    kinds: dict[str, Callable[[], type[Source]]] = {"parquet": _parquet}
    if data.kind not in kinds:
        raise InvalidInput(f"there is no source {data.kind!r}", fix=nearest(data.kind, kinds))
    return kinds[data.kind]()(data.files, data.options)


def _parquet() -> type[Source]:
    from foretell.batch.sources.parquet import ParquetSource

    return ParquetSource
