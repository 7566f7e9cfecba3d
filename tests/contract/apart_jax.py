"""Functions that jax.export has written."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax_models as made
import numpy as np
from contract_case import Case

from foretell.backends import open_model
from foretell.backends.opened import Opened
from foretell.columns import Batch
from foretell.config import ModelSettings

X = np.array([[1, -2, 3, 0], [4, 5, -6, 1], [0, 0.5, 0.25, 2], [-1, -1, -1, -1], [7, 8, 9, 10]], np.float32)
N = np.arange(5, dtype=np.int64) - 2**40


def cases() -> list[Case]:
    halves = (X * 0.5).astype(np.float32)
    return [
        case("linear", made.linear, Batch.of(x0=X), {"scores": X @ made.WEIGHTS}),
        case("fixed-batch", lambda: made.linear(2, 4), Batch.of(x0=X), {"scores": X @ made.WEIGHTS}),
        case("no-axis-of-rows", largest, Batch.of(x0=X), {"output": X.max(axis=1)}),
        case("trees", trees, Batch.of(x=X, n=N), {"a": X.sum(axis=1), "b.twice": N * 2}),
        case("double", double, Batch.of(x0=X.astype(np.float64)), {"output_0": X / 3.0, "output_1": halves}),
    ]


def case(name: str, data: Callable[[], bytes], batch: Batch, expected: dict[str, Any]) -> Case:
    def opened(folder: Path) -> Opened:
        return open_model(made.file_of(data(), folder), ModelSettings())

    return Case(name=f"jax-{name}", open=opened, batch=batch, expected=expected)


@cache
def largest() -> bytes:
    return made.exported(lambda x: x.max(), ((4,), np.float32))


@cache
def trees() -> bytes:
    shapes = {"x": (("b", 4), np.float32), "n": (("b",), np.int64)}
    return made.exported(lambda given: {"a": given["x"].sum(axis=1), "b": {"twice": given["n"] * 2}}, shapes)


@cache
def double() -> bytes:
    return made.exported(lambda x: (x / 3, (x / 2).astype(np.float32)), (("b", 4), np.float64))
