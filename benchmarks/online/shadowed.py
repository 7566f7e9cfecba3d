"""What a shadow costs those who are answered: without one, with one that is asked a tenth, and with one that is asked
all."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.load import wrk
from benchmarks.online.loads import add_loads, closed_loop, ready
from benchmarks.online.models import predict, work
from benchmarks.online.open_loop import open_loop
from benchmarks.online.recipes import OURS, Recipe
from benchmarks.online.tiny import Tiny
from benchmarks.process import foretell
from benchmarks.report import Row
from benchmarks.run import Run, middle, ratios
from benchmarks.wire import Oip

_CONNECTIONS, _COST_MS, _ROWS, _LOAD = 64, 5.0, 8, 0.5
_SHARES = {OURS: None, f"{OURS}, a tenth": "10%", f"{OURS}, all": "100%"}


def main(run: Run) -> None:
    run.report.title("online.shadowed", "a second version of the same model is asked what the first has answered")
    case = Tiny(run.folder)
    with ExitStack() as stack:
        made = _recipes(_repository(run.folder / "tiny", case.model))
        servers = {each.name: stack.enter_context(ready(each, case.rows, case.answers)) for each in made}
        add_loads(run, f"4 features, {_CONNECTIONS} connections",
                  closed_loop(run, servers, case.rows[0], _CONNECTIONS), {})  # fmt: skip
    _open(run)


def _open(run: Run) -> None:
    """At half of capacity, the same arrivals for each."""
    model = work(run.folder, "constant", _COST_MS)
    rows = np.random.default_rng(4).normal(size=(16, 4)).astype(np.float32)
    flags = "--executor", "thread", "--threads", "1", "--max-batch-size", str(_ROWS)
    with ExitStack() as stack:
        made = _recipes(_repository(run.folder / "work", model), *flags)
        servers = {each.name: stack.enter_context(ready(each, rows, predict(model, rows))) for each in made}
        request = servers[OURS].wire.request(rows[0])
        capacity = max(wrk(servers[OURS], request, 2 * _ROWS, 1).requests_s for _ in range(2))
        found = run.in_turns({
            name: partial(open_loop, server, request, _LOAD * capacity, run.seconds) for name, server in servers.items()
        })  # fmt: skip
    p99 = {name: [each.took(99) for each in came] for name, came in found.items()}
    for name, came in found.items():
        run.report.add(Row(
            f"{_COST_MS:g} ms a batch, {_LOAD:.0%} of capacity, p99", name, p99[name], "ms",
            p50_ms=middle([each.took(50) for each in came]), p99_ms=middle(p99[name]),
            ratios=ratios(p99[name], p99[OURS]) if name != OURS else (),
            more={"failed": sum(each.failed for each in came)},
        ))  # fmt: skip


def _repository(folder: Path, model: Path) -> Path:
    """The same model in two versions."""
    for version in "12":
        (folder / "model" / version).mkdir(parents=True)
        shutil.copy(model, folder / "model" / version / "model.onnx")
    return folder


def _recipes(repository: Path, *flags: str) -> list[Recipe]:
    def words(share: str | None) -> tuple[str, ...]:
        return () if share is None else ("--shadow", f"model=2:{share}")

    return [Recipe(n, foretell(repository, *flags, *words(s)), Oip("model")) for n, s in _SHARES.items()]
