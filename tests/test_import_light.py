"""`import foretell` costs nothing: what it brings is imported when it is first used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import onnx_build
import pytest
from onnx import TensorProto

import foretell
from foretell import errors

_HEAVY = {
    "numpy", "onnxruntime", "onnx", "sklearn", "skops", "scipy", "pandas", "polars", "pyarrow", "torch", "msgspec",
    "orjson", "uvloop", "httptools", "cyclopts", "rich", "asyncio",
}  # fmt: skip


def loaded_by(code: str, *, whole: bool = False) -> set[str]:
    """Packages, or with `whole` the names of all modules."""
    script = f"{code}; import sys; print(*(name for name in sys.modules if {whole} or '.' not in name))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_foretell_imports_nothing_heavy() -> None:
    assert loaded_by("import foretell; dir(foretell)") & _HEAVY == set()


def test_a_system_that_foretell_is_not_made_for_is_told_at_once() -> None:
    command = [sys.executable, "-c", "import os; os.name = 'nt'; import foretell"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: foretell runs on Linux and macOS")


def test_the_errors_need_no_numpy() -> None:
    assert loaded_by("from foretell import Overloaded") & _HEAVY == set()


def test_the_command_line_starts_without_a_framework() -> None:
    heavy = _HEAVY - {"cyclopts", "rich", "asyncio"}
    assert loaded_by("import foretell.cli") & heavy == set()


def test_every_public_name_is_there_and_documented() -> None:
    for name in foretell.__all__:
        value = getattr(foretell, name)
        assert name in dir(foretell)
        assert isinstance(value, str) or value.__name__ == name


def test_only_public_names_are_listed() -> None:
    assert dir(foretell) == sorted(foretell.__all__)


def test_every_error_is_public() -> None:
    public = [n for n, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.InferenceError)]
    assert set(public) <= set(foretell.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'foretell' has no attribute 'Predicter'"):
        _ = foretell.Predicter  # type: ignore[attr-defined]


def test_a_type_checker_finds_an_unknown_name_too() -> None:
    body = ast.parse(Path(foretell.__file__).read_text()).body
    assert "__getattr__" not in [node.name for node in body if isinstance(node, ast.FunctionDef)]


def test_a_job_reads_scores_and_writes_in_other_processes_only(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("class Model:\n    def predict(self, x):\n        return x\n")
    (tmp_path / "data.csv").write_text("id,x\n1,2\n")
    words = ["score", f"{tmp_path}/model.py:Model", f"{tmp_path}/data.csv", "-o", f"{tmp_path}/out.csv", "--key", "id"]
    loaded = loaded_by(f"from foretell.cli import main; assert main({words}) == 0")
    assert loaded & (_HEAVY - {"msgspec"} | {"email"}) == set()
    assert (tmp_path / "out.csv").read_text().startswith("id,")


def test_a_process_is_started_before_what_takes_longer_is_imported() -> None:
    assert loaded_by("import foretell.cli.early, foretell.batch.seat") & (_HEAVY | {"dataclasses", "inspect"}) == set()


def test_a_server_of_a_file_imports_nothing_of_python_models_and_processes(tmp_path: Path) -> None:
    path = onnx_build.save(onnx_build.identity(["n", 2], TensorProto.FLOAT), tmp_path, "net.onnx")
    code = (
        "import foretell.cli.running; from foretell.config import ModelSettings; "
        f"from foretell.remote.opening import Opener; Opener({str(path)!r}, ModelSettings()).first()"
    )
    loaded = loaded_by(code, whole=True)
    assert "foretell.backends.onnx.model" in loaded
    assert {"foretell.backends.live_object", "foretell.remote.process", "tomllib"} & loaded == set()
