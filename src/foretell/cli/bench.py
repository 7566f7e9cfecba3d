"""`foretell bench`."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from foretell.backends.opened import refuse_idle_permissions
from foretell.cli.bench_engines import by_replicas, by_threads, loaded
from foretell.cli.data import read_data, to_intake
from foretell.cli.flag import Flag
from foretell.cli.flags import ModelFlags, read_mapping
from foretell.cli.meant import only, settings_of
from foretell.cli.notes import counted
from foretell.cli.output import print_json, print_table, print_text, results_alone, width
from foretell.cli.place import check_place
from foretell.cores import usable_cores
from foretell.engine.decisions import ran_on
from foretell.errors import InferenceError, InvalidInput, InvalidSetting

if TYPE_CHECKING:
    from foretell.bench.advice import Advice
    from foretell.bench.measure import Point
    from foretell.columns import Batch
    from foretell.engine.engine import Engine

Format = Literal["csv", "image", "json", "jsonl", "npy", "parquet", "tsv", "txt"]
_OTHERS = 78
"""Columns of the terminal that the figures take."""
_ROWS = 256
_TRIED_ROWS = 8
"""Of a call before the first measurement."""


def bench(
    source: Annotated[str, Flag(("MODEL",))],
    /,
    *,
    data: Annotated[str | None, Flag(dash=True)] = None,
    max_size: int = 128,
    size: tuple[int, ...] = (),
    max_replicas: int | None = None,
    seconds: float = 0.5,
    slo_ms: float | None = None,
    price_per_hour: float | None = None,
    page: str | None = None,
    map: tuple[str, ...] = (),
    format: Format | None = None,
    json: bool = False,
    model: ModelFlags = ModelFlags(),
) -> int:
    """Measure a model here: one row at a time, rows of many callers together, and batches. Say what to set, and why.

    Parameters
    ----------
    source
        A model file, "module:Class", a folder that holds one model, or REPO/NAME, whose newest version is measured.
    data
        Rows to ask: a .json, .jsonl, .csv, .tsv, .parquet, .npy, .txt or image file; "-" for standard input; or the
        JSON itself. If not set: rows that are made up from what the model tells of its inputs.
    max_size
        Most rows of a call, and most callers at a time.
    size
        Measure calls of so many rows alone; repeat for more. Nothing is advised then.
    max_replicas
        Most replicas to measure; 1: one alone. If not set: one for each core.
    seconds
        For each measurement.
    slo_ms
        How long 99 of 100 answers may take; the advice keeps to it.
    price_per_hour
        Of this machine, for the cost of a million rows.
    page
        Write the figures and plots into this HTML file.
    map
        INPUT=COLUMN,COLUMN,... where column names differ; repeat for more inputs.
    format
        Format of the data, where its name does not tell; of standard input, json if not given.
    json
        Print JSON.
    """
    replicas = usable_cores() if max_replicas is None else max_replicas
    _check([("max-size", max_size, 1, 2**20), ("seconds", seconds, 0.001, 3600), ("max-replicas", replicas, 1, 1024),
            *(("size", each, 1, 2**20) for each in size)],
           {"slo-ms": slo_ms, "price-per-hour": price_per_hour}, page)  # fmt: skip
    started = time.monotonic()
    wanted = _Wanted(size, max_size, replicas, seconds, quiet=json)
    with results_alone():
        about, points = _figures(source, model.given(), wanted, lambda engine: _rows(engine, data, format, map))
    _show(about, _Found(points, [] if size else _advice(points, slo_ms)), price_per_hour, page, json=json)
    if not json:
        print(f"measured in {time.monotonic() - started:.0f} s")
    return 0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """`sizes`: of calls to measure alone; (): everything up to `max_size` and to so many `replicas`."""

    sizes: tuple[int, ...]
    max_size: int
    replicas: int
    seconds: float
    quiet: bool


def _figures(
    source: str, flags: Mapping[str, Any], wanted: _Wanted, rows_for: Callable[[Engine], Batch]
) -> tuple[dict[str, str], list[Point]]:
    """What the model is, and what was measured of it."""
    planned = only(source)
    settings, seconds = settings_of(planned, flags).settings, wanted.seconds
    with loaded(planned, settings, max(wanted.sizes, default=wanted.max_size)) as served:
        refuse_idle_permissions(flags, [served.opened])
        rows = _answered(served.engine, rows_for(served.engine), seconds)
        points = list(_told(_measured(served.engine, rows, wanted), quiet=wanted.quiet))
        about = {"model": served.name, "version": served.version, "framework": served.opened.framework}
        most = 1 if served.engine.spec.stateful else wanted.replicas
        # Where "auto" has moved the calls of one replica, it would move those of several, in its own time.
        settled = replace(settings, executor="process") if ran_on(served.engine) == "process" else settings
    if not wanted.sizes:
        points += _told(by_threads(planned, settings, rows, points, seconds), quiet=wanted.quiet)
        points += _told(by_replicas(planned, settled, rows, points, seconds, most), quiet=wanted.quiet)
    return about, points


def _advice(points: list[Point], slo_ms: float | None) -> list[Advice]:
    from foretell.bench.advice import advise

    return advise(points, slo_ms)


def _check(
    limits: list[tuple[str, float, float, float]], positive: Mapping[str, float | None], page: str | None
) -> None:
    """`limits`: flags, their values, and the least and the most that each may be."""
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise InvalidSetting(f"--{name} is out of range", expected=f"{least:g} to {most:,}", got=value)
    for name, number in positive.items():
        if number is not None and not 0 < number < math.inf:
            raise InvalidSetting(f"--{name} is out of range", expected="more than 0", got=number)
    if page is not None:
        check_place(Path(page), "the page", _is_page, "--page")


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(9).lower() == b"<!doctype"


@dataclass(frozen=True, slots=True)
class _Found:
    points: list[Point]
    advice: list[Advice]


def _rows(engine: Engine, data: str | None, fmt: str | None, mapping: tuple[str, ...]) -> Batch:
    from foretell.bench.sample import sample

    if data is None:
        return sample(engine.spec, _ROWS)
    return to_intake(read_data(data, fmt), engine.spec, read_mapping(mapping)).batch.slice(0, _ROWS)


def _answered(engine: Engine, rows: Batch, seconds: float) -> Batch:
    """Those that have an answer, as a refusal would count as a fast one; as many as can be asked in good time."""
    from foretell.bench.measure import TOO_LONG

    now, size = engine.clock.monotonic, _TRIED_ROWS if _splits(engine) else 1
    good: list[int] = []
    said, started = "there are none", now()
    for at in range(0, rows.rows, size):
        errors = engine.run(rows.slice(at, at + size), apart=True).errors
        good += [at + row for row in range(min(size, rows.rows - at)) if row not in errors]
        if errors:
            said = f"row {at + min(errors)}: {errors[min(errors)].message}"
        if now() - started > TOO_LONG * seconds and good:
            break
    if not good:
        raise InvalidInput(f"no row to measure with has an answer; {said}", fix="give rows that fit with --data")
    if len(good) < (tried := min(at + size, rows.rows)):
        print(
            f"foretell: note: {counted(tried - len(good), 'row')} left out, without an answer; {said}", file=sys.stderr
        )
    return rows.take(np.array(good))


def _splits(engine: Engine) -> bool:
    return engine.spec.row_wise and not engine.spec.stateful


def _measured(engine: Engine, rows: Batch, wanted: _Wanted) -> Iterator[Point]:
    from foretell.bench.measure import CALLERS, batched, micro_batched, sizes_to

    most, seconds = wanted.max_size, wanted.seconds
    if wanted.sizes:
        yield from (batched(engine, rows, size, seconds) for size in wanted.sizes)
        return
    splits = _splits(engine)
    sizes = sizes_to(most) if splits else (1,)
    yield from _while_quick((batched(engine, rows, size, seconds) for size in sizes), seconds)
    callers = [each for each in CALLERS if each <= most] if splits else [1]
    yield from _while_quick((micro_batched(engine, rows, each, seconds) for each in callers), seconds)


def _while_quick(points: Iterator[Point], seconds: float) -> Iterator[Point]:
    """Up to the first one that takes too long for larger ones to be tried."""
    from foretell.bench.measure import TOO_LONG

    for point in points:
        yield point
        if point.p50_ms > TOO_LONG * seconds * 1e3:
            said = f"{point.p50_ms / 1e3:.3g} s, over {TOO_LONG} times --seconds: larger ones are not measured"
            print(f"foretell: note: {point.mode}, {point.size} takes {said}", file=sys.stderr)
            return


def _told(points: Iterator[Point], *, quiet: bool) -> Iterator[Point]:
    for point in points:
        if not quiet:
            threads = f" on {point.threads}" if point.threads else ""
            print(f"foretell: {point.way}, {point.size}{threads}: {_rate(point):,} rows/s", file=sys.stderr)
        yield point


def _rate(point: Point) -> float:
    """Rows a second; of models that take seconds, parts of one."""
    return round(point.rows_per_s) if point.rows_per_s >= 10 else round(point.rows_per_s, 3)


def _show(about: Mapping[str, str], found: _Found, price: float | None, page: str | None, *, json: bool) -> None:
    from foretell.verify.machine import machine

    here = machine()
    if json:
        figures = [asdict(point) for point in found.points]
        for figure, point in zip(figures, found.points, strict=True):
            figure.update({} if price is None else {"cost_per_million": point.cost_per_million(price)})
        print_json({**about, "machine": here, "price_per_hour": price, "points": figures,
                    "advice": [asdict(each) for each in found.advice]})  # fmt: skip
    else:
        _print(about, found, price)
    if page is not None:
        from foretell.bench.page import page as drawn

        said = f"{here['cpu']}, {here['cores']} cores, {here['system']}, Python {here['python']}"
        text = drawn(about["model"], about["version"], said, found.points, found.advice, price)
        try:
            Path(page).write_text(text, "utf-8")
        except OSError as error:
            raise InferenceError("the page cannot be written", where=page, got=error.strerror) from error
        if not json:
            print(f"plots: {page}")


def _print(about: Mapping[str, str], found: _Found, price: float | None) -> None:
    most, wide = max(point.rows_per_s for point in found.points), min(40, width() - _OTHERS)
    rows = []
    for point in found.points:
        bar = ["█" * max(1, round(point.rows_per_s / most * wide))] if wide > 3 else []
        cost = [] if price is None else [point.cost_per_million(price)]
        size = f"{point.size} on {point.threads}" if point.threads else str(point.size)
        rows.append([point.way, size, _rate(point), point.p50_ms, point.p99_ms, *cost, *bar])
    heads = [
        "way",
        "size",
        "rows/s",
        "p50 ms",
        "p99 ms",
        *([] if price is None else ["per million"]),
        *([""] if wide > 3 else []),
    ]
    print_table(heads, rows, f"{about['model']} version {about['version']} ({about['framework']})")
    print_text("size: rows of a call, or callers at a time; where it says so, on so many threads")
    for each in found.advice:
        print_text(f"{each.flag}: {each.why}" if each.flag else each.why)
