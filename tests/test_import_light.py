"""`import foretell` costs nothing: what it brings is imported when it is first used."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import foretell
from foretell import errors

_HEAVY = {
    "numpy", "onnxruntime", "onnx", "sklearn", "skops", "scipy", "pandas", "polars", "pyarrow", "torch", "msgspec",
    "orjson", "uvloop", "httptools", "cyclopts", "rich", "asyncio",
}  # fmt: skip


def loaded_by(code: str) -> set[str]:
    script = f"{code}; import sys; print(*(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_foretell_imports_nothing_heavy() -> None:
    assert loaded_by("import foretell; dir(foretell)") & _HEAVY == set()


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


def test_every_error_is_public() -> None:
    public = [n for n, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.InferenceError)]
    assert set(public) <= set(foretell.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'foretell' has no attribute 'Predicter'"):
        _ = foretell.Predicter  # type: ignore[attr-defined]
