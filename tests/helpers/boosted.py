"""Boosted trees that are trained once for each process of tests, and what they are asked about."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from live_models import answer, loaded
from sklearn.datasets import load_diabetes, load_iris

from foretell.columns import Batch, Bytes, Dense
from foretell.errors import InvalidModel
from foretell.forms.values import to_numpy

FLOWERS, SPECIES = load_iris(return_X_y=True)
PATIENTS, PROGRESS = load_diabetes(return_X_y=True)
GROUPS = [50, 50, 50]
"""Rows of each query, for rankings."""


@cache
def towns() -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers beside categories of text and of numbers, some of each missing; and what follows from them."""
    rng = np.random.default_rng(3)
    town, floor = rng.choice(["York", "Bath", "Ely"], 300), rng.choice([10, 20, 30], 300)
    size = rng.normal(size=300)
    answer = (size + 2 * (town == "York") + (floor == 20) > 1).astype(np.int64)
    frame = pd.DataFrame({"size": size, "town": pd.Categorical(town), "floor": pd.Categorical(floor)})
    frame.loc[::9, "town"] = None
    frame.loc[::7, "size"] = np.nan
    return frame, answer


def answers(estimator: Any, rows: Any) -> dict[str, Any]:
    """Of an estimator with the methods of scikit-learn, by the names that foretell gives them."""
    if hasattr(estimator, "predict_proba"):
        return {
            "label": estimator.predict(rows).reshape(len(rows)).tolist(),
            "probabilities": estimator.predict_proba(rows),
        }
    return {"prediction": estimator.predict(rows)}


def columns(frame: pd.DataFrame, kind: type = np.float64) -> Batch:
    """The rows of `towns` as foretell takes them; numbers as `kind`."""
    town = Bytes.of([None if pd.isna(each) else each for each in frame["town"]])
    floor, size = (Dense(frame[name].to_numpy(kind)) for name in ("floor", "size"))
    return Batch({"size": size, "town": town, "floor": floor}, len(frame))


def text_columns(frame: pd.DataFrame) -> Batch:
    """The same where every category is a text, as CatBoost takes them."""
    town, floor = (Bytes.of(frame[name]) for name in ("town", "floor"))
    return Batch({"size": Dense(frame["size"].to_numpy(np.float32)), "town": town, "floor": floor}, len(frame))


def damaged(data: bytes, count: int) -> Iterator[bytes]:
    """`count` files that are cut off, shortened inside, or have other bytes in some places."""
    rng = random.Random(20)
    for number in range(count):
        changed = bytearray(data)
        at = rng.randrange(len(data))
        if number % 4 == 0:
            del changed[at:]
        elif number % 4 == 1:
            del changed[at : at + rng.randrange(1, 64)]
        elif number % 4 == 2:
            changed[at] ^= 1 << rng.randrange(8)
        else:
            changed[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"9999", b"-9 9"])
        yield bytes(changed)


def refusals(path: Path, count: int, rows: Any) -> list[str]:
    """Why damaged copies of a file are refused; those that are not answer for `rows`."""
    found: list[str] = []
    for data in damaged(path.read_bytes(), count):
        path.write_bytes(data)
        try:
            asked(loaded(path, threads=1), rows)
        except InvalidModel as error:
            found.append(str(error))
    return found


def asked(model: Any, rows: Any) -> dict[str, np.ndarray]:
    """Arrays by output, of a loaded model."""
    batch = rows if isinstance(rows, Batch) else Batch.of(input=rows)
    return {name: to_numpy(column) for name, column in answer(model, batch).columns.items()}
