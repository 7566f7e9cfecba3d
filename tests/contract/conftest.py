"""Gathers the cases of every backend: each `cases_*.py` beside this file has a function `cases()`.

Those in `apart_*.py` belong to frameworks whose import takes seconds: `test_contract_apart.py` runs them, so that the
others do not wait for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from contract_case import Case

from foretell.backends.opened import Opened
from foretell.model import Model


@cache
def _cases(prefix: str) -> list[Case]:
    found: list[Case] = []
    for file in sorted(Path(__file__).parent.glob(f"{prefix}_*.py")):
        spec = importlib.util.spec_from_file_location(f"contract_{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.cases()
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        prefix = "apart" if metafunc.module.__name__.endswith("test_contract_apart") else "cases"
        metafunc.parametrize("case", _cases(prefix), ids=lambda case: case.name)


@pytest.fixture
def opened(case: Case, tmp_path: Path) -> Opened:
    return case.open(tmp_path)


@pytest.fixture
def model(opened: Opened) -> Iterator[Model]:
    """The case's model, loaded; closed afterwards."""
    try:
        opened.model.load("cpu")
        yield opened.model
    finally:
        opened.model.close()
