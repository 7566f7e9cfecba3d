"""The rules of the house that a machine can see. Import directions are held by import-linter."""

from __future__ import annotations

import ast
import graphlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "foretell"

_MOST_LINES_OF_A_FILE = 320
_FRAMES = "Data frames stay in backends, forms, sources and sinks"
_MOST_LINES_OF_A_FUNCTION = 60

Lines = dict[str, list[int]]


def modules() -> Iterator[tuple[str, str]]:
    """Name and text of every module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield (
            ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"),
            path.read_text("utf-8"),
        )


def where(wrong: Callable[[ast.AST], bool], outside: str = "nothing") -> Lines:
    """The lines of every module, except in the room `outside`, that hold something wrong."""
    found = {
        name: [getattr(node, "lineno", 0) for node in ast.walk(ast.parse(text)) if wrong(node)]
        for name, text in modules()
        if not f"{name}.".startswith(f"foretell.{outside}.")
    }
    return {name: lines for name, lines in found.items() if lines}


def is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def test_a_file_holds_one_idea() -> None:
    lengths = {name: len(text.splitlines()) for name, text in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > _MOST_LINES_OF_A_FILE} == {}


def test_a_function_fits_on_a_screen() -> None:
    def is_long(node: ast.AST) -> bool:
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        return is_function and (node.end_lineno or 0) - node.lineno >= _MOST_LINES_OF_A_FUNCTION

    assert where(is_long) == {}


def test_a_file_says_what_it_is_for() -> None:
    assert [name for name, text in modules() if not ast.get_docstring(ast.parse(text))] == []


def test_input_is_not_checked_by_assert() -> None:
    assert where(lambda node: isinstance(node, ast.Assert)) == {}


def test_only_the_command_line_prints() -> None:
    assert where(lambda node: isinstance(node, ast.Call) and is_name(node.func, "print"), outside="cli") == {}


def test_only_the_command_line_reads_the_environment() -> None:
    def reads(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} and is_name(node.value, "os")

    found = where(reads, outside="cli")
    # They only set what TensorFlow and ONNX Runtime read, and nobody has set.
    assert set(found) <= {"foretell.backends.quiet_tensorflow", "foretell.backends.onnx.quiet"}


@pytest.mark.parametrize(("package", "way"), [("onnxruntime", "onnx"), ("openvino", "openvino")])
def test_what_would_tell_of_its_users_is_imported_quietly(package: str, way: str) -> None:
    def imports(node: ast.AST) -> bool:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        return any(name.partition(".")[0] == package for name in names)

    assert set(where(imports)) == {f"foretell.backends.{way}.quiet"}


def test_no_module_changes_its_own_globals() -> None:
    assert where(lambda node: isinstance(node, ast.Global)) == {}


def test_nothing_that_is_ignored_is_kept() -> None:
    """A link named .venv, once kept, takes the place of the environment of whoever checks it out."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    kept = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    assert kept.stdout == ""


def test_every_module_can_be_imported_first() -> None:
    """No circle among what modules import while they are imported: then their order does not matter."""
    names = {name for name, _ in modules()}
    graph = {name: set(imported_by(name, ast.parse(text).body, names)) for name, text in modules()}
    for name, found in graph.items():  # another room's package is imported before a module of it
        rooms = {".".join(one.split(".")[:end]) for one in found for end in range(1, one.count(".") + 1)}
        found |= {room for room in rooms if not name.startswith(f"{room}.")} - {name}
    graphlib.TopologicalSorter(graph).prepare()


def imported_by(module: str, statements: list[ast.stmt], names: set[str]) -> Iterator[str]:
    """Which of `names` the statements of a module import when they run."""
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            assert not statement.level, f"{module} imports by a relative name"
            parts = [f"{statement.module}.{alias.name}" for alias in statement.names]
            yield from {part if part in names else statement.module for part in parts} & names
        elif isinstance(statement, ast.Import):
            yield from {alias.name for alias in statement.names} & names
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            only_for_types = isinstance(statement, ast.If) and is_name(statement.test, "TYPE_CHECKING")
            for field in ("orelse",) if only_for_types else ("body", "orelse", "finalbody"):
                yield from imported_by(module, getattr(statement, field, []), names)
            for handler in getattr(statement, "handlers", []):
                yield from imported_by(module, handler.body, names)


@pytest.mark.parametrize(
    ("file", "text", "contract"),
    [
        ("engine/planted.py", "import foretell.forms", "The engine knows no form of data but Batch"),
        ("engine/planted.py", "def f() -> None:\n    import foretell.backends", "Rooms import downwards only"),
        (
            "engine/planted.py",
            "import onnxruntime",
            "Model frameworks stay in the backends and the demo",
        ),
        ("serve/planted.py", "import pandas", _FRAMES),
        ("forms/planted.py", "import httptools", "The wire is touched by the doors only"),
        ("serve/planted.py", "import rich.table", "The terminal is touched by the command line only"),
        ("planted.py", "", "Rooms import downwards only"),
    ],
)
def test_the_import_contracts_see_a_wrong_import(tmp_path: Path, file: str, text: str, contract: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "foretell", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "foretell" / file).write_text(text)
    linted = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert f"{contract} BROKEN" in linted.stdout
