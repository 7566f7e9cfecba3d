"""The first door: the engine in this process, as `Predictor` has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from foretell.columns import Batch, Index
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.remote.opening import Opener
from foretell.verify.asked import Asked
from foretell.verify.ways import Way


@contextmanager
def opened(asked: Asked, settings: ModelSettings | None = None) -> Iterator[Engine]:
    """Its engine, without a cache that would answer in the model's place, nor limits of time."""
    chosen = replace(settings or asked.settings, cache_size=0, cache_ttl_s=None, timeout_s=None, slo_ms=None)
    opener = Opener(asked.source, chosen, asked.name)
    first = opener.first()
    engine = Engine(first.model, chosen, name=asked.name, version=asked.version, digest=first.digest,
                    again=opener.again(first.digest)).load()  # fmt: skip
    try:
        yield engine
    finally:
        engine.close()


def answered(engine: Engine, rows: Batch, way: Way) -> list[tuple[Index, Batch]]:
    """The answers of all calls of a way. A row that fails fails alone."""
    return [(call, engine.run(rows.take(call), apart=True)) for call in way.calls]


def takes_splits(engine: Engine) -> bool:
    """Whether it means anything to ask its rows in other calls."""
    return engine.spec.row_wise and not engine.spec.stateful
