"""The commands to try after the demo, ready to paste."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foretell.demo.folder import DemoFolder
from foretell.demo.task import Task

_BASE = "http://127.0.0.1:8000/v2/models"


@dataclass(frozen=True, slots=True)
class Command:
    what: str
    line: str


def commands(program: str, folder: DemoFolder, tasks: Sequence[Task]) -> list[Command]:
    """`program`: how the reader's shell finds foretell. The curl commands need the server of the one before them."""
    digits, cancer, reviews = tasks
    inputs = folder.path / "inputs"
    return [
        Command("classify an image", _line(program, "predict", digits.model, inputs / "digit.png", "--top", 3)),
        Command("answer a table", _line(program, "predict", cancer.model, cancer.sample)),
        Command("read a file of reviews", _line(program, "predict", reviews.model, reviews.sample)),
        Command(
            "score a table as a job that can be killed and run again",
            _line(program, "score", cancer.model, cancer.sample, "-o", folder.path / "scores.csv"),
        ),
        Command("see what a model takes and gives", _line(program, "inspect", f"{digits.name}={digits.model}")),
        Command("serve all of them", _line(program, "serve", *sources(tasks))),
        *[
            Command(f"and ask for {task.name}, in another terminal", _curl(task.name, inputs / f"{task.name}.json"))
            for task in tasks
        ],
    ]


def sources(tasks: Sequence[Task]) -> list[str]:
    """What `foretell serve` is given for all of them."""
    return list(dict.fromkeys(task.served_as for task in tasks))


def _curl(name: str, body: Path) -> str:
    """Another terminal begins in another folder."""
    return _line("curl", "-s", f"{_BASE}/{name}/infer", "-d", f"@{body.absolute()}")


def _line(*words: object) -> str:
    return shlex.join(str(word) for word in words)
