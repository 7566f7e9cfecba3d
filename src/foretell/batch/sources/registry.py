"""From the name of a format to the source that reads it."""

from __future__ import annotations

from collections.abc import Callable

from foretell.batch.job import Data
from foretell.batch.sources.source import Source
from foretell.errors import InvalidInput, InvalidSetting, nearest


def open_source(data: Data) -> Source:
    """Raises `MissingExtra` where its library is not installed."""
    kinds: dict[str, Callable[[], type[Source]]] = {
        "parquet": _parquet,
        "csv": _csv,
        "tsv": _tsv,
        "jsonl": _jsonl,
        "npy": _npy,
        "arrow": _arrow,
        "images": _images,
        "texts": _texts,
        "lines": _lines,
        "query": _query,
    }
    if data.kind not in kinds:
        raise InvalidInput(f"there is no source {data.kind!r}", fix=nearest(data.kind, kinds))
    source = kinds[data.kind]()
    if idle := [name for name in data.options if name not in source.known_options]:
        raise InvalidSetting(
            f"--{idle[0].replace('_', '-')} would do nothing: it is not for {data.kind}", fix="leave it out"
        )
    return source(data.files, data.options)


def _parquet() -> type[Source]:
    from foretell.batch.sources.parquet import ParquetSource

    return ParquetSource


def _images() -> type[Source]:
    from foretell.batch.sources.images import ImageSource

    return ImageSource


def _texts() -> type[Source]:
    from foretell.batch.sources.texts import TextSource

    return TextSource


def _lines() -> type[Source]:
    from foretell.batch.sources.lines import LineSource

    return LineSource


def _csv() -> type[Source]:
    from foretell.batch.sources.csv import CsvSource

    return CsvSource


def _tsv() -> type[Source]:
    from foretell.batch.sources.csv import TsvSource

    return TsvSource


def _jsonl() -> type[Source]:
    from foretell.batch.sources.jsonl import JsonLinesSource

    return JsonLinesSource


def _npy() -> type[Source]:
    from foretell.batch.sources.npy import NpySource

    return NpySource


def _query() -> type[Source]:
    from foretell.batch.sources.query import QuerySource

    return QuerySource


def _arrow() -> type[Source]:
    from foretell.batch.sources.arrow import ArrowSource

    return ArrowSource
