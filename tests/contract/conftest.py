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
from _pytest.mark import ParameterSet
from contract_case import Case

from foretell.backends.opened import Opened
from foretell.model import Model


@cache
def _cases(prefix: str) -> list[ParameterSet]:
    found = list[ParameterSet]()
    for file in sorted(Path(__file__).parent.glob(f"{prefix}_*.py")):
        spec = importlib.util.spec_from_file_location(f"contract_{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except pytest.skip.Exception as reason:
            found.append(pytest.param(None, id=file.stem, marks=pytest.mark.skip(str(reason))))
        else:
            found += [pytest.param(case, id=case.name) for case in module.cases()]
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        prefix = "apart" if metafunc.module.__name__.endswith("test_contract_apart") else "cases"
        metafunc.parametrize("case", _cases(prefix), scope="module")


@pytest.fixture(scope="module")
def opened(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """The case's artefact, which all tests of the case ask: to open it takes longer than most of them."""
    return case.open(tmp_path_factory.mktemp("opened"))


@pytest.fixture(scope="module")
def model(opened: Opened) -> Iterator[Model]:
    """Its model, loaded; closed afterwards."""
    yield from _loaded(opened)


@pytest.fixture
def own(case: Case, tmp_path: Path) -> Opened:
    """For a test that closes its model."""
    return case.open(tmp_path)


@pytest.fixture
def own_model(own: Opened) -> Iterator[Model]:
    yield from _loaded(own)


def _loaded(opened: Opened) -> Iterator[Model]:
    try:
        opened.model.load("cpu")
        yield opened.model
    finally:
        opened.model.close()
