"""The first door: the engine in this process, as `Predictor` has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from foretell.columns import Batch, Column, Dense, Index, Ragged
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.forms.fit import bfloat16_floats
from foretell.remote.opening import Opener
from foretell.types import DataType
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


def digest_now(asked: Asked) -> str:
    """Of its artefact as it is at this moment."""
    first = Opener(asked.source, asked.settings, asked.name).first()
    first.model.close()
    return first.digest


def answered(engine: Engine, rows: Batch, way: Way) -> list[tuple[Index, Batch]]:
    """The answers of all calls of a way. A row that fails fails alone."""
    return [(call, answer_to(engine, rows.take(call))) for call in way.calls]


def answer_to(engine: Engine, rows: Batch) -> Batch:
    """Of one call; BF16 as the numbers that its bits mean, as every other door gives them."""
    answer = engine.run(rows, apart=True)
    halves = {tensor.name for tensor in engine.spec.outputs or () if tensor.datatype is DataType.BF16}
    return answer.with_columns({name: _floats(column) if name in halves else column
                                for name, column in answer.columns.items()})  # fmt: skip


def _floats(column: Column) -> Column:
    if isinstance(column, Ragged) and isinstance(column.values, Dense):
        return Ragged(Dense(bfloat16_floats(column.values.data)), column.offsets)
    return Dense(bfloat16_floats(column.data), column.valid) if isinstance(column, Dense) else column


def takes_splits(engine: Engine) -> bool:
    """Whether it means anything to ask its rows in other calls."""
    return engine.spec.row_wise and not engine.spec.stateful
