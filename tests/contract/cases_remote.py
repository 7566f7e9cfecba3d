"""Some of the other cases once more, each in a process of its own."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from types import ModuleType

from contract_case import Case

from foretell.backends import open_model
from foretell.backends.opened import Opened
from foretell.config import ModelSettings
from foretell.remote.model import RemoteModel
from foretell.remote.recipe import Recipe

FOLDER = Path(__file__).parent


def cases() -> list[Case]:
    onnx, python = cases_of("cases_onnx"), cases_of("cases_python")
    return [
        of_file(onnx["onnx-two-inputs"], threads=1),
        of_file(onnx["onnx-text"], threads=1),
        of_name(python["python-stages"], "Stages"),
        of_name(python["python-in-place-ragged"], "in_place_ragged"),
    ]


def of_file(case: Case, threads: int) -> Case:
    def opened(folder: Path) -> Opened:
        return in_a_process(Path(case.open(folder).source), ModelSettings(threads=threads))

    return dataclasses.replace(case, name=f"remote-{case.name}", open=opened)


def of_name(case: Case, name: str) -> Case:
    def opened(folder: Path) -> Opened:
        return in_a_process(f"{FOLDER / 'cases_python.py'}:{name}", ModelSettings())

    return dataclasses.replace(case, name=f"remote-{case.name}", open=opened)


def in_a_process(source: str | Path, settings: ModelSettings) -> Opened:
    return dataclasses.replace(open_model(source, settings), model=RemoteModel(Recipe.of(source, settings)))


def cases_of(name: str) -> dict[str, Case]:
    spec = importlib.util.spec_from_file_location(f"again_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {case.name: case for case in module.cases()}
