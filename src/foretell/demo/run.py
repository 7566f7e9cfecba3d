"""The demo from its first file to its last figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from foretell.demo import latency
from foretell.demo.answers import Answers
from foretell.demo.cancer import make_cancer
from foretell.demo.client import request_body
from foretell.demo.compare import Measured, in_process, over_http
from foretell.demo.digits import make_digits
from foretell.demo.extras import check_extras
from foretell.demo.folder import DemoFolder
from foretell.demo.plot import draw
from foretell.demo.reviews import make_reviews
from foretell.demo.server import serving
from foretell.demo.task import Task
from foretell.predictor import Predictor

Say = Callable[[str], None]
"""Takes one line for people."""

CONNECTIONS = 32
_QUICK_ROWS = 40
_FOR_PEOPLE = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
_TITLES = {
    "digits": "digits: an ONNX network",
    "cancer": "cancer: a scikit-learn pipeline",
    "reviews": "reviews: a model in plain Python",
}


@dataclass(frozen=True, slots=True)
class Report:
    """`accuracy`: by model, the share of right answers among `Task.held_out`."""

    folder: DemoFolder
    tasks: tuple[Task, ...]
    accuracy: Mapping[str, float]
    measured: tuple[Measured, ...]
    curves: tuple[latency.Curve, ...]

    @property
    def agree(self) -> bool:
        """Whether every way gave every row the same label."""
        return not any(each.labels_differ for each in self.measured)


def run(path: Path, *, quick: bool, say: Say) -> Report:
    """Fills the folder `path`, and measures. `quick`: few rows, for a look or a test.

    Raises `MissingExtra` and `InvalidSetting` before anything is written, `InferenceError` where a step fails.
    """
    check_extras()
    folder = DemoFolder.claim(path)
    most = _QUICK_ROWS if quick else None
    say("training two models, and writing one in Python ...")
    tasks = (make_digits(folder, most), make_cancer(folder, most), make_reviews(folder, most))
    with ExitStack() as stack:
        predictors = {task.name: stack.enter_context(Predictor(task.model)) for task in tasks}
        for task in tasks:
            _write_request(folder, task, predictors[task.name])
        references: dict[str, Answers] = {}
        measured: list[Measured] = []
        for task in tasks:
            say(f"{task.name}: predicting {task.asked:,} rows in process, alone and in a batch ...")
            figures, references[task.name] = in_process(task, predictors[task.name])
            measured += figures
        measured += _served(tasks, predictors, references, say)
        sizes = latency.QUICK_SIZES if quick else latency.SIZES
        curves = []
        for task in tasks:
            say(f"{task.name}: timing batches of {sizes[0]} to {sizes[-1]:,} rows ...")
            curves.append(latency.measure(task, predictors[task.name], sizes))
    say("drawing ...")
    draw(curves, [_TITLES[task.name] for task in tasks], folder.plot)
    order = [task.name for task in tasks]
    measured.sort(key=lambda each: order.index(each.model))
    folder.new("comparison.json").write_bytes(orjson.dumps([asdict(each) for each in measured], option=_FOR_PEOPLE))
    accuracy = {task.name: task.accuracy(references[task.name]["label"].tolist()) for task in tasks}
    return Report(folder, tasks, accuracy, tuple(measured), tuple(curves))


def _served(
    tasks: tuple[Task, ...], predictors: Mapping[str, Predictor], references: Mapping[str, Answers], say: Say
) -> list[Measured]:
    say("starting foretell serve with all three ...")
    measured: list[Measured] = []
    # Each by its name: the folder may hold more models, of an earlier demo.
    with serving([f"{task.name}={task.model}" for task in tasks]) as address:
        say(f"it serves on http://{address[0]}:{address[1]}")
        for task in tasks:
            say(f"{task.name}: sending {task.asked:,} requests, one by one, then {CONNECTIONS} at a time ...")
            reference, predictor = references[task.name], predictors[task.name]
            measured += over_http(task, predictor, reference, address, CONNECTIONS)
    return measured


def _write_request(folder: DemoFolder, task: Task, predictor: Predictor) -> None:
    inputs = predictor.spec.inputs
    if inputs:
        folder.new("inputs", f"{task.name}.json").write_bytes(request_body(inputs[0], task.rows[0]) + b"\n")
