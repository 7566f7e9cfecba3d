"""`foretell bench`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from foretell.backends.artefact_file import has_threads
from foretell.backends.opened import refuse_idle_permissions
from foretell.cli.data import read_data, to_intake
from foretell.cli.flag import Flag
from foretell.cli.flags import ModelFlags, read_mapping
from foretell.cli.loading import load
from foretell.cli.meant import only, settings_of
from foretell.cli.output import print_json, print_table, print_text, width
from foretell.cores import usable_cores
from foretell.errors import InvalidSetting

if TYPE_CHECKING:
    from foretell.bench.advice import Advice
    from foretell.bench.measure import Point
    from foretell.columns import Batch
    from foretell.config import ModelSettings
    from foretell.engine.engine import Engine
    from foretell.repository.plan import Planned

Format = Literal["csv", "image", "json", "jsonl", "npy", "parquet", "tsv", "txt"]
_OTHERS = 78
"""Columns of the terminal that the figures take."""
_ROWS = 256


def bench(
    source: Annotated[str, Flag(("MODEL",))],
    /,
    *,
    data: Annotated[str | None, Flag(dash=True)] = None,
    max_size: int = 128,
    size: tuple[int, ...] = (),
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
    _check([("max-size", max_size, 1), ("seconds", seconds, 0.001), *(("size", each, 1) for each in size)],
           {"slo-ms": slo_ms, "price-per-hour": price_per_hour})  # fmt: skip
    from foretell.bench.advice import advise

    planned, flags = only(source), model.given()
    settings = settings_of(planned, flags).settings
    with _loaded(planned, settings, max(size, default=max_size)) as served:
        refuse_idle_permissions(flags, [served.opened])
        rows = _rows(served.engine, data, format, map)
        points = list(_told(_measured(served.engine, rows, size, max_size, seconds), quiet=json))
        about = {"model": served.name, "version": served.version, "framework": served.opened.framework}
    if not size:
        points += _told(_by_threads(planned, settings, rows, points, seconds), quiet=json)
    _show(about, _Found(points, [] if size else advise(points, slo_ms)), price_per_hour, page, json=json)
    return 0


def _check(limits: list[tuple[str, float, float]], positive: Mapping[str, float | None]) -> None:
    """`limits`: flags, their values, and the least that each may be."""
    for name, value, least in limits:
        if not value >= least:
            raise InvalidSetting(f"--{name} is out of range", expected=f"{least:g} or more", got=value)
    for name, number in positive.items():
        if number is not None and not number > 0:
            raise InvalidSetting(f"--{name} is out of range", expected="more than 0", got=number)


@dataclass(frozen=True, slots=True)
class _Found:
    points: list[Point]
    advice: list[Advice]


@contextlib.contextmanager
def _loaded(planned: Planned, settings: ModelSettings, most: int) -> Iterator[Any]:
    """Without a cache, which would answer in the model's place, and without limits that would refuse rows."""
    chosen = replace(settings, cache_size=0, cache_ttl_s=None, slo_ms=None, max_batch_size=max(most, 1))
    served = load(planned, chosen, serves=True)
    try:
        yield served
    finally:
        served.engine.close()


def _rows(engine: Engine, data: str | None, fmt: str | None, mapping: tuple[str, ...]) -> Batch:
    from foretell.bench.sample import sample

    if data is None:
        return sample(engine.spec, _ROWS)
    return to_intake(read_data(data, fmt), engine.spec, read_mapping(mapping)).batch.slice(0, _ROWS)


def _measured(engine: Engine, rows: Batch, chosen: tuple[int, ...], most: int, seconds: float) -> Iterator[Point]:
    from foretell.bench.measure import CALLERS, batched, micro_batched, sizes_to

    if chosen:
        yield from (batched(engine, rows, size, seconds) for size in chosen)
        return
    splits = engine.spec.row_wise and not engine.spec.stateful
    for size in sizes_to(most) if splits else (1,):
        yield batched(engine, rows, size, seconds)
    for callers in CALLERS if splits else (1,):
        if callers <= most:
            yield micro_batched(engine, rows, callers, seconds)


def _by_threads(
    planned: Planned, settings: ModelSettings, rows: Batch, points: list[Point], seconds: float
) -> Iterator[Point]:
    """The same calls on one thread and on all, where the runtime lets one choose and nobody has."""
    from foretell.bench.measure import batched

    cores = usable_cores()
    if cores == 1 or settings.threads or settings.batch_invariant or not has_threads(planned.source):
        return
    best = max((point for point in points if point.mode != "micro-batched"), key=lambda point: point.rows_per_s)
    for threads in (1, cores):
        with _loaded(planned, replace(settings, threads=threads), best.size) as served:
            for size in sorted({1, best.size}):
                yield batched(served.engine, rows, size, seconds, threads)


def _told(points: Iterator[Point], *, quiet: bool) -> Iterator[Point]:
    for point in points:
        if not quiet:
            threads = f" on {point.threads}" if point.threads else ""
            print(f"foretell: {point.mode}, {point.size}{threads}: {point.rows_per_s:,.0f} rows/s", file=sys.stderr)
        yield point


def _show(about: Mapping[str, str], found: _Found, price: float | None, page: str | None, *, json: bool) -> None:
    from foretell.verify.machine import machine

    here = machine()
    if page is not None:
        from foretell.bench.page import page as drawn

        said = f"{here['cpu']}, {here['cores']} cores, {here['system']}, Python {here['python']}"
        text = drawn(about["model"], about["version"], said, found.points, found.advice, price)
        Path(page).write_text(text, "utf-8")
    if not json:
        _print(about, found, price, page)
        return
    figures = [asdict(point) for point in found.points]
    for figure, point in zip(figures, found.points, strict=True):
        figure.update({} if price is None else {"cost_per_million": point.cost_per_million(price)})
    print_json({**about, "machine": here, "price_per_hour": price, "points": figures,
                "advice": [asdict(each) for each in found.advice]})  # fmt: skip


def _print(about: Mapping[str, str], found: _Found, price: float | None, page: str | None) -> None:
    most, wide = max(point.rows_per_s for point in found.points), min(40, width() - _OTHERS)
    rows = []
    for point in found.points:
        bar = ["█" * max(1, round(point.rows_per_s / most * wide))] if wide > 3 else []
        cost = [] if price is None else [point.cost_per_million(price)]
        size = f"{point.size} on {point.threads}" if point.threads else str(point.size)
        rows.append([point.mode, size, round(point.rows_per_s), point.p50_ms, point.p99_ms, *cost, *bar])
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
    if page is not None:
        print(f"plots: {page}")
