"""What the prediction log costs those who are answered: without it, with a sample, with every request, and with a sink
that takes nothing."""

from __future__ import annotations

import os
from contextlib import ExitStack

from benchmarks.online import recipes
from benchmarks.online.loads import add_loads, closed_loop
from benchmarks.online.recipes import OURS
from benchmarks.online.tiny import Tiny
from benchmarks.run import Run

_CONNECTIONS = 64


def main(run: Run) -> None:
    run.report.title("online.logged", "4 features, one row of JSON, wrk -t1, keep-alive, with a prediction log")
    case = Tiny(run.folder)
    pipe = run.folder / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    ways = {
        OURS: (),
        f"{OURS}, a tenth logged": ("--prediction-log", run.folder / "tenth.jsonl", "--prediction-log-sample", "0.1"),
        f"{OURS}, all logged": ("--prediction-log", run.folder / "all.jsonl"),
        f"{OURS}, a sink that blocks": ("--prediction-log", pipe),
    }
    try:
        with ExitStack() as stack:
            made = [recipes.ours(case.model, *map(str, flags), name=name) for name, flags in ways.items()]
            servers = {recipe.name: stack.enter_context(case.ready(recipe)) for recipe in made}
            add_loads(run, f"{_CONNECTIONS} connections", closed_loop(run, servers, case.rows[0], _CONNECTIONS), {})
    finally:
        os.close(reader)
