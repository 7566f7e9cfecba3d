"""The same rows through every door, compared with each row alone: what makes a certificate."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import foretell
from foretell.backends.artefact_file import has_threads
from foretell.certificate import FORMAT, Certificate, Check
from foretell.columns import Batch
from foretell.compare import Answered, compare
from foretell.cores import usable_cores
from foretell.engine.engine import Engine
from foretell.engine.identity import variant_of
from foretell.errors import InvalidInput, ModelError
from foretell.forms.values import to_python
from foretell.types import ModelSpec
from foretell.verify.as_jobs import as_batch, as_stream, is_text, write_rows
from foretell.verify.asked import Asked
from foretell.verify.in_python import answer_to, answered, digest_now, opened, takes_splits
from foretell.verify.machine import machine
from foretell.verify.over_http import is_single, over_http
from foretell.verify.ways import Way, threads_to_try, ways

Told = Callable[[Check], None]
Job = Callable[[Asked, Path, Batch], Iterator[tuple[str, Answered]]]
DOORS = ("python", "server", "batch", "stream")
_JOBS: Mapping[str, Job] = {"batch": as_batch, "stream": as_stream}
_ALONE = "each row alone, in Python"
_WHOLE = "all rows in one call, in Python"


def proof(
    asked: Asked, data: Mapping[str, Any], doors: Sequence[str] = DOORS, told: Told = lambda check: None
) -> Certificate:
    """Asks `asked.rows` through each of `doors`; `told` hears of each check as it ends.

    The reference is each row alone; of a model whose rows depend on each other, all of them in one call. Raises what
    opening the model raises, `InvalidInput` where no row has an answer, `ModelError` where a door does not open.
    """
    if not asked.rows.rows:
        raise InvalidInput("the sample has no rows", expected="at least one")
    with opened(asked) as engine:
        splits = takes_splits(engine)
        reference = _reference(engine, asked.rows, splits=splits)
        spec, identity = engine.spec, engine.identity
        variant = variant_of(engine.model, engine.settings)
        checks = list(_told(_of_python(asked, engine, reference, splits=splits), told)) if "python" in doors else []
    left_out: dict[str, str] = {}
    if "server" in doors:
        checks += _told(_of_server(asked, spec, reference, left_out, splits=splits), told)
    jobs = {door: job for door, job in _JOBS.items() if door in doors}
    if jobs:
        checks += _told(_of_jobs(asked, spec, reference, jobs, left_out, splits=splits), told)
    if digest_now(asked) != identity.artefact_digest:
        raise ModelError("the model changed while it was compared", where=asked.source, fix="compare it again")
    if not checks:
        raise InvalidInput("there is nothing to compare", got="; ".join(f"{k}: {why}" for k, why in left_out.items()))
    return Certificate(
        FORMAT, foretell.__version__, datetime.now(UTC).isoformat(timespec="seconds"), asked.name, asked.version,
        identity.artefact_digest, identity.variant_digest, variant, machine(variant),
        {**data, "rows": asked.rows.rows, "sha256": digest_of(asked.rows)}, _ALONE if splits else _WHOLE,
        tuple(checks), left_out=left_out,
    )  # fmt: skip


def digest_of(rows: Batch) -> str:
    """Of the rows as the model got them: of what Python's `repr` makes of (name, rows as nested lists) of each column,
    in order of name."""
    whole = hashlib.sha256()
    for name in sorted(rows.columns):
        whole.update(repr((name, to_python(rows.columns[name]))).encode())
    return whole.hexdigest()


def _reference(engine: Engine, rows: Batch, *, splits: bool) -> Batch:
    size = 1 if splits else rows.rows
    pieces = [answer_to(engine, rows.slice(at, at + size)) for at in range(0, rows.rows, size)]
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


def _of_server(
    asked: Asked, spec: ModelSpec, reference: Batch, left_out: dict[str, str], *, splits: bool
) -> Iterator[Check]:
    single = is_single(asked.rows, spec)
    if single and not splits and asked.rows.rows > 1:
        left_out["server"] = "one request cannot hold all the rows, which depend on each other"
        return
    some = list(ways(asked.rows.rows, few=True)) if splits else [_whole(asked.rows)]
    for way, answers in over_http(asked, spec, some[:1] if single else some, reference.errors, singles=splits):
        yield _check("server", way, reference, answers)


def _of_jobs(
    asked: Asked, spec: ModelSpec, reference: Batch, jobs: Mapping[str, Job], left_out: dict[str, str], *, splits: bool
) -> Iterator[Check]:
    if not splits:
        left_out.update(dict.fromkeys(jobs, "it would split the rows, which depend on each other"))
        return
    if not all(map(is_text, reference.columns.values())):
        left_out.update(dict.fromkeys(jobs, "JSON Lines have no form for bytes that are no text, as answers are"))
        return
    with tempfile.TemporaryDirectory(prefix="foretell-verify-") as folder:
        data = Path(folder) / "rows.jsonl"
        rows = write_rows(asked.rows, data, spec)
        if not rows:
            left_out.update(dict.fromkeys(jobs, "JSON Lines have no form for any of the rows"))
            return
        some = "" if rows == asked.rows.rows else f", {rows} rows: JSON Lines have no form for the others"
        for door, job in jobs.items():
            for way, answers in job(asked, data, reference):
                yield msgspec.structs.replace(_check(door, f"{way}{some}", reference, answers), rows=rows)


def _told(checks: Iterator[Check], told: Told) -> Iterator[Check]:
    for check in checks:
        told(check)
        yield check


def _check(door: str, way: str, reference: Batch, answers: Answered) -> Check:
    outputs, failed = compare(reference, answers)
    return Check(door, way, reference.rows, outputs, failed)


def _whole(rows: Batch) -> Way:
    return Way(f"{rows.rows} in a call", (np.arange(rows.rows),))
