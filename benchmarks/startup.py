"""How long a person waits: importing foretell, and the first answer after a server's process starts."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial

import numpy as np

from benchmarks.models import tiny
from benchmarks.process import Server, environment, foretell
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from benchmarks.wire import Oip

_ROUNDS, _QUICK_ROUNDS = 5, 3


def main(run: Run) -> None:
    run.report.title("startup", "beside the interpreter alone, and beside ONNX Runtime alone")
    _run("import foretell.cli.serve")  # whatever has to be compiled is
    rounds = _QUICK_ROUNDS if run.quick else _ROUNDS
    imports = run.in_turns({"python": partial(_run, "pass"), "foretell": partial(_run, "import foretell")}, rounds)
    added = [ours - empty for ours, empty in zip(imports["foretell"], imports["python"], strict=True)]
    run.report.add(Row("import foretell, beyond python", "foretell", added, "s",
                       goals=[Goal.at_most(middle(added), 0.15, " s")]))  # fmt: skip
    run.report.add(Row("python alone", "python", imports["python"], "s"))
    model = tiny(run.folder)

    def alone() -> float:
        return _run(f"import numpy, onnxruntime as o; o.InferenceSession({str(model)!r})")

    def first_answer() -> float:
        with Server("foretell", foretell(f"model={model}"), Oip("model"), np.ones(4, np.float32)) as server:
            return server.start_s

    times = run.in_turns({"ONNX Runtime alone": alone, "foretell": first_answer}, rounds)
    for name, raw in times.items():
        goals = [Goal.at_most(middle(raw), 0.5, " s")] if name == "foretell" else []
        run.report.add(Row("first answer after start", name, raw, "s", ratios=ratios(times["foretell"], raw),
                           goals=goals))  # fmt: skip


def _run(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment({}))
    return time.perf_counter() - started
