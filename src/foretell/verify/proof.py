"""The same rows through every door, compared with each row alone: what makes a certificate."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import foretell
from foretell.backends.artefact_file import has_threads
from foretell.certificate import FORMAT, Certificate, Check
from foretell.columns import Batch
from foretell.cores import usable_cores
from foretell.engine.engine import Engine
from foretell.engine.identity import variant_of
from foretell.errors import InvalidInput
from foretell.forms.values import to_python
from foretell.types import ModelSpec
from foretell.verify.as_jobs import as_batch, as_stream, write_rows
from foretell.verify.asked import Asked
from foretell.verify.compare import Answered, compare
from foretell.verify.in_python import answered, opened, takes_splits
from foretell.verify.machine import machine
from foretell.verify.over_http import over_http
from foretell.verify.ways import Way, threads_to_try, ways

Told = Callable[[Check], None]
DOORS = ("python", "server", "batch", "stream")
_ALONE = "each row alone, in Python"
_WHOLE = "all rows in one call, in Python"


def proof(
    asked: Asked, data: Mapping[str, Any], doors: Sequence[str] = DOORS, told: Told = lambda check: None
) -> Certificate:
    """Asks `asked.rows` through each of `doors`; `told` hears of each check as it ends.

    The reference is each row alone; of a model whose rows depend on each other, all of them in one call. Raises what
    opening the model raises, `InvalidInput` where no row has an answer, `ModelError` where a door does not open.
    """
    with opened(asked) as engine:
        splits = takes_splits(engine)
        reference = _reference(engine, asked.rows, splits=splits)
        spec, identity = engine.spec, engine.identity
        variant = variant_of(engine.model, engine.settings)
        checks = list(_told(_of_python(asked, engine, reference, splits=splits), told)) if "python" in doors else []
    others = [door for door in doors if door != "python"]
    checks += _told(_of_others(asked, spec, reference, others, splits=splits), told)
    return Certificate(
        FORMAT, foretell.__version__, datetime.now(UTC).isoformat(timespec="seconds"), asked.name, asked.version,
        identity.artefact_digest, identity.variant_digest, variant, machine(), {**data, "rows": asked.rows.rows,
        "sha256": digest_of(asked.rows)}, _ALONE if splits else _WHOLE, tuple(checks),
    )  # fmt: skip


def digest_of(rows: Batch) -> str:
    """Of the rows as the model got them: of the JSON text of all columns in order of name."""
    whole = hashlib.sha256()
    for name in sorted(rows.columns):
        whole.update(repr((name, to_python(rows.columns[name]))).encode())
    return whole.hexdigest()


def _reference(engine: Engine, rows: Batch, *, splits: bool) -> Batch:
    size = 1 if splits else rows.rows
    pieces = [engine.run(rows.slice(at, at + size), apart=True) for at in range(0, rows.rows, size)]
    reference = engine.join(pieces)
    if len(reference.errors) == rows.rows:
        what = f"no row of the sample has an answer; the first: {reference.errors[0].message}"
        raise InvalidInput(what, expected="rows that fit the model")
    return reference


def _of_python(asked: Asked, engine: Engine, reference: Batch, *, splits: bool) -> Iterator[Check]:
    rows = asked.rows
    for way in ways(rows.rows) if splits else [_whole(rows)]:
        yield _check("python", way.name, reference, answered(engine, rows, way))
    if asked.settings.batch_invariant or asked.settings.threads or not has_threads(asked.source):
        return
    for number in threads_to_try(usable_cores(), 0):
        with opened(asked, replace(asked.settings, threads=number)) as other:
            for way in ways(rows.rows, few=True) if splits else [_whole(rows)]:
                name = f"{number} thread{'s' if number > 1 else ''}, {way.name}"
                yield _check("python", name, reference, answered(other, rows, way))


def _of_others(
    asked: Asked, spec: ModelSpec, reference: Batch, doors: Sequence[str], *, splits: bool
) -> Iterator[Check]:
    if "server" in doors:
        some = list(ways(asked.rows.rows, few=True)) if splits else [_whole(asked.rows)]
        for way, answers in over_http(asked, spec, some, singles=splits):
            yield _check("server", way, reference, answers)
    jobs = {"batch": as_batch, "stream": as_stream}
    if not splits:
        return
    with tempfile.TemporaryDirectory(prefix="foretell-verify-") as folder:
        data = Path(folder) / "rows.jsonl"
        write_rows(asked.rows, data, spec)
        for door in [door for door in jobs if door in doors]:
            for way, answers in jobs[door](asked, data, reference, spec):
                yield _check(door, way, reference, answers)


def _told(checks: Iterator[Check], told: Told) -> Iterator[Check]:
    for check in checks:
        told(check)
        yield check


def _check(door: str, way: str, reference: Batch, answers: Answered) -> Check:
    outputs, failed = compare(reference, answers)
    return Check(door, way, reference.rows, outputs, failed)


def _whole(rows: Batch) -> Way:
    return Way(f"{rows.rows} in a call", (np.arange(rows.rows),))
