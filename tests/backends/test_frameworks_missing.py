"""A framework that is not installed is one line, which names its extra; and nobody imports one that is not needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_WITHOUT = """
import sys
class Without:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Without())
from pathlib import Path
from foretell.backends import open_model
from foretell.config import ModelSettings
from foretell.errors import MissingExtra
try:
    open_model(Path(sys.argv[2]), ModelSettings()).model.load("cpu")
except MissingExtra as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("package", "file", "extra"),
    [("tensorflow", "folder/saved_model.pb", "tensorflow"), ("keras", "m.keras", "keras"),
     ("jax", "m.jax", "jax"), ("flatbuffers", "m.jax", "jax")],
)  # fmt: skip
def test_what_is_missing_is_named(package: str, file: str, extra: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"never read")
    given = path.parent if path.name == "saved_model.pb" else path
    command = [sys.executable, "-W", "error", "-c", _WITHOUT, package, str(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert f"pip install 'foretell[{extra}]'" in done.stdout and done.stderr == ""


_OPENS = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from foretell.backends import open_model
from foretell.config import ModelSettings
from foretell.errors import Unavailable
try:
    open_model(Path(sys.argv[1]), ModelSettings()).model.load("cpu")
except Unavailable as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("package", "file", "error", "fix"),
    [("jax", "m.jax", "OSError: libgomp.so.1: cannot open shared object file: No such file or directory",
      "install the system's library libgomp.so.1; on Debian and Ubuntu: apt-get install libgomp1"),
     ("jax", "m.jax", "OSError: dlopen(/a/b.dylib, 0x0006): Library not loaded: @rpath/libomp.dylib",
      "install the system's library libomp.dylib; with Homebrew: brew install libomp"),
     ("keras", "m.keras", "ValueError: numpy.dtype size changed", "try: python -c 'import keras'")],
)  # fmt: skip
def test_what_does_not_load_is_not_told_to_be_missing(
    package: str, file: str, error: str, fix: str, tmp_path: Path
) -> None:
    (tmp_path / "packages").mkdir()
    kind, _, text = error.partition(": ")
    (tmp_path / "packages" / f"{package}.py").write_text(f"raise {kind}({text!r})")
    model = tmp_path / file
    model.write_bytes(b"never read")
    command = [sys.executable, "-W", "error", "-c", _OPENS, str(model), str(tmp_path / "packages")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert f"needs the package {package}, which does not load: {error}; {fix}" in done.stdout
    assert done.stderr == ""


def test_files_are_opened_without_their_frameworks(tmp_path: Path) -> None:
    """Whoever opens a model that runs elsewhere has no need of its framework."""
    for name in ("a.keras", "b.jax", "c/saved_model.pb"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"never read")
    code = f"""
import sys
from pathlib import Path
from foretell.backends import open_model
from foretell.config import ModelSettings
for name in ("a.keras", "b.jax", "c"):
    open_model(Path({str(tmp_path)!r}) / name, ModelSettings())
print(sorted({{"tensorflow", "keras", "jax", "xgboost", "lightgbm", "catboost", "torch"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
