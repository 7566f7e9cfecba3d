"""The page of the security tests names every class of holes and every test file, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/security-tests.md").read_text("utf-8")
TESTS = ROOT / "tests/security"
CLASSES = (
    "unsafe deserialisation on the wire", "untrusted model files", "traversal in names, versions, URLs", "archives",
    "ONNX external data", "fetching a remote model", "open management", "configuration to command",
    "writing files through settings", "shared memory, error leaks", "parser denial of service",
    "leakage between tenants",
)  # fmt: skip


def rows() -> dict[str, list[str]]:
    """Class of holes to its test files."""
    table = PAGE.partition("| class of holes |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {cell[0]: re.findall(r"`(test_\w+\.py)`", cell[-1]) for cell in cells}


def test_every_class_has_a_test() -> None:
    assert tuple(rows()) == CLASSES
    assert all(rows().values())


def test_every_file_is_named_and_there() -> None:
    there = {path.name for path in TESTS.glob("test_*.py")}
    assert {file for files in rows().values() for file in files} == there
    for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE):
        assert (ROOT / path).is_file(), path
    assert set(re.findall(r"`(test_\w+\.py)`", PAGE)) <= there


@pytest.mark.parametrize("page", ["SECURITY.md", "README.md", "docs/guides/security.md"])
def test_it_can_be_found(page: str) -> None:
    assert "reference/security-tests.md" in (ROOT / page).read_text("utf-8")
