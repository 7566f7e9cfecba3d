"""`foretell verify` as people run it: every backend, through every door, and models that do not keep the promise."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_build
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto

from foretell.certificate import Certificate, place_of, read

_START = "import sys; from foretell.cli import main; sys.exit(main())"
_CASES = Path(__file__).parents[1] / "contract"

# One model in a file of each backend, from the contract suite. True: bit-identical as it is; False: within rounding,
# and bit-identical where that is asked for.
_FILES = [
    ("cases_boosted", "xgboost-classes-json", True),
    ("cases_lightgbm", "lightgbm-binary-txt", True),
    ("cases_boosted", "catboost-classes-cbm", True),
    ("cases_openvino", "openvino-ir", False),
    ("cases_onnx", "onnx-classifier", False),
    ("cases_sklearn", "sklearn-skops", False),
    ("cases_torch", "torch-program", False),
    ("cases_torch", "torch-script", False),
    ("apart_jax", "jax-linear", False),
    ("cases_huggingface", "huggingface-encoder", False),
    ("apart_tensorflow", "tensorflow-linear", False),
    ("apart_tensorflow", "keras-classifier-file", False),
]

# Builds a model, and then runs a command for each line that it reads. What frameworks leave behind in a process is
# nobody else's, and whoever has imported one verifies with it: that takes longer than all of the rest.
_BUILD = """
import importlib.util, io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
import numpy as np
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.path[:0] = sys.argv[5:]
from foretell.cli import main
from foretell.verify.as_jobs import write_rows
spec = importlib.util.spec_from_file_location("cases", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
(case,) = (case for case in module.cases() if case.name == sys.argv[2])
opened = case.open(Path(sys.argv[3]))
del os.environ["MKL_CBWR"]  # the processes of the doors ask for it themselves
write_rows(case.batch.take(np.arange(40) % case.batch.rows), Path(sys.argv[4]), numbered=False)
print(json.dumps([opened.source, opened.digest]), file=answers, flush=True)
for line in sys.stdin:
    words, settings = json.loads(line)
    os.environ.update(settings)
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(words)
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=answers, flush=True)
os._exit(0)
"""


class Framework:
    """The process that has built the artefact of a case of the contract suite. `source`: its file; `digest`; `rows`:
    forty rows for it."""

    def __init__(self, process: subprocess.Popen[str], rows: Path, told: Path) -> None:
        self._process, self.rows, self._told = process, rows, told
        self.source, self.digest = json.loads(self._line())

    def verify(self, *flags: str, **settings: str) -> Certificate:
        assert self._process.stdin is not None
        asked = _words(self.source, self.rows, flags), _named(settings)
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        code, out, err = json.loads(self._line())
        assert code == 0, err
        return certificate_of(self.source, out)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return line
        self._process.wait(60)
        told = self._told.read_text()
        last = told.strip().rpartition("\n")[2]
        if last.startswith("Skipped: "):
            pytest.skip(last)
        pytest.fail(told)


@contextlib.contextmanager
def built(module: str, name: str, folder: Path) -> Iterator[Framework]:
    (folder / "model").mkdir()
    rows, helpers = folder / "rows.jsonl", [_CASES.parent / "helpers", _CASES]
    words = [_CASES / f"{module}.py", name, folder / "model", rows, *helpers]
    command = [sys.executable, "-c", _BUILD, *map(str, words)]
    with (folder / "told").open("w+") as told:
        asked = {"MKL_CBWR": "AUTO"}  # what PyTorch can be asked for only before it computes anything
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, text=True, env={**os.environ, **asked}
        )
        with process:
            try:
                yield Framework(process, rows, folder / "told")
            except BaseException:
                process.kill()
                raise


def _words(source: Path | str, data: Path, flags: Sequence[str]) -> list[str]:
    return ["verify", str(source), "--data", str(data), "--json", *flags]


def _named(settings: Mapping[str, str]) -> dict[str, str]:
    """In the environment. Of the processes of a job, each would import the framework."""
    return {f"FORETELL_{name.upper()}": value for name, value in {"processes": "1", **settings}.items()}


def certificate_of(source: Path | str, printed: str, cwd: Path | None = None) -> Certificate:
    """The one that was written, as it was printed."""
    found = read((cwd or Path()) / place_of(source))
    assert [check["way"] for check in json.loads(printed)["checks"]] == [check.way for check in found.checks]
    return found


def verify(
    source: Path | str, data: Path, *flags: str, expect: int = 0, cwd: Path | None = None, **settings: str
) -> Certificate:
    command = [sys.executable, "-c", _START, *_words(source, data, flags)]
    environment = {**os.environ, **_named(settings)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, cwd=cwd, env=environment)
    assert done.returncode == expect, done.stderr
    return certificate_of(source, done.stdout, cwd)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("module", "name", "identical"), [pytest.param(*each, id=each[1]) for each in _FILES])
def test_every_backend_through_every_door(tmp_path: Path, module: str, name: str, identical: bool) -> None:
    """As the table of docs/reference/models.md says."""
    with built(module, name, tmp_path) as framework:
        certificate = framework.verify()
        assert certificate.doors == ("python", "server", "batch", "stream")
        assert certificate.artefact_digest == framework.digest
        assert certificate.identical or (not identical and certificate.within(1e-5))
        if not identical:  # by a setting, which is not left out to find the price
            doors = () if name == "torch-script" else ("--doors", "python")  # each imports the framework again
            certificate = framework.verify(*doors, batch_invariant="true")
            assert certificate.identical
            assert certificate.variant["batch_invariant"] == "16 rows"
            assert certificate.price is None


@pytest.mark.timeout(400)
def test_openvino_is_bit_identical_where_it_is_asked_for(tmp_path: Path) -> None:
    with built("cases_openvino", "openvino-ir", tmp_path) as framework:
        certificate = framework.verify("--batch-invariant")
    assert certificate.identical
    assert certificate.variant["batch_invariant"] == "16 rows"
    assert certificate.price is not None
    assert set(certificate.price) == {"rows in calls of 1", "rows in calls of 128"}


MIXES = """
import numpy as np

class Mixes:
    '''Its answer to a row depends on how many rows are beside it, and it does not say so.'''

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.sum(1) + 1e-3 * len(x)

class Names:
    def predict(self, x: np.ndarray) -> list[str]:
        return ["many" if len(x) > 1 else "one"] * len(x)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "models.py").write_text(MIXES)
    (tmp_path / "rows.json").write_text(json.dumps([{"x": [row, 1.5]} for row in range(6)]))
    return tmp_path


def test_a_model_that_is_truly_not_invariant(code: Path) -> None:
    certificate = verify("models.py:Mixes", code / "rows.json", expect=1, cwd=code)
    assert certificate.verdict() == "within 0.005"
    worst, check = certificate.worst()["output"]
    assert (worst.rows, check.rows) == (6, 6)
    assert worst.absolute == pytest.approx(0.005)
    assert {each.door for each in certificate.checks if each.identical} == {"python", "server"}
    verify("models.py:Mixes", code / "rows.json", "--tolerance", "0.01", cwd=code)
    invariant = verify("models.py:Mixes", code / "rows.json", "--batch-invariant", cwd=code)
    assert invariant.identical
    assert invariant.variant_digest != certificate.variant_digest


def test_onnx_is_bit_identical_where_it_is_asked_for(tmp_path: Path) -> None:
    """A linear classifier of ONNX Runtime is not by itself: its numbers follow the size of the call."""
    path = onnx_build.save(onnx_build.iris_onnx(zipmap=False), tmp_path, "iris.onnx")
    np.save(tmp_path / "rows.npy", onnx_build.iris()[0].astype(np.float32))
    assert verify(path, tmp_path / "rows.npy", "--batch-invariant").identical


def test_texts_are_the_same_or_not(code: Path) -> None:
    assert verify("models.py:Names", code / "rows.json", expect=1, cwd=code).verdict() == "different answers"


def test_the_certificate_computed_again_without_foretell(tmp_path: Path) -> None:
    """By ONNX Runtime alone: each row by itself, and all of them in one call."""
    path = onnx_build.save(onnx_build.iris_onnx(zipmap=False), tmp_path, "iris.onnx")
    rows = onnx_build.iris()[0].astype(np.float32)[::5]
    np.save(tmp_path / "rows.npy", rows)
    certificate = verify(path, tmp_path / "rows.npy")
    session = onnxruntime.InferenceSession(path)
    (entry,) = session.get_inputs()
    names = [each.name for each in session.get_outputs()]
    alone = [session.run(names, {entry.name: row[None]}) for row in rows]
    together: list[Any] = session.run(names, {entry.name: rows})
    (check,) = (each for each in certificate.checks if (each.door, each.way) == ("python", f"{len(rows)} in a call"))
    for at, name in enumerate(names):
        differ = sum(not np.array_equal(one[at][0], row) for one, row in zip(alone, together[at], strict=True))
        assert check.outputs[name].rows == differ


def test_inspect_and_metadata_show_it(tmp_path: Path) -> None:
    path = onnx_build.save(onnx_build.iris_onnx(zipmap=False), tmp_path, "iris.onnx")
    np.save(tmp_path / "rows.npy", onnx_build.iris()[0].astype(np.float32)[:5])
    command = [sys.executable, "-c", _START, "inspect", str(path), "--json"]

    def shown(*flags: str) -> Any:
        done = subprocess.run([*command, *flags], capture_output=True, text=True, check=True, timeout=60)
        return json.loads(done.stdout)["certificate"]

    assert shown() is None
    verify(path, tmp_path / "rows.npy", "--doors", "python")
    assert shown()["doors"] == ["python"]
    assert shown("--batch-invariant") is None


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--max-rows", "0"], "--max-rows is out of range"),
        (["--tolerance", "-1"], "--tolerance is out of range"),
        (["--doors", "window"], "window"),
    ],
)
def test_wrong_use(code: Path, flags: list[str], told: str) -> None:
    command = [sys.executable, "-c", _START, "verify", "models.py:Mixes", "--data", "rows.json", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=code)
    assert done.returncode == 2
    assert told in done.stderr


ODD = """
import numpy as np
from foretell import DataType, TensorSpec

class Odd:
    '''Endless and missing numbers, rows of no length, whole numbers that are not there, and a row that fails.'''

    inputs = (TensorSpec("x", DataType.FP64, (2,)), TensorSpec("n", DataType.INT64, ()))

    def predict(self, x, n):
        if (n == 3).any():
            raise ValueError("three")
        return {"same": x, "over": np.where(x[:, 0] > 2, np.inf, -np.inf),
                "long": [np.arange(each, dtype=np.float32) / 3 for each in n]}
"""


def test_odd_rows_and_answers_are_the_same_at_every_door(code: Path) -> None:
    """What one door has no form for is left out by name, or refused there, and no difference of the model."""
    (code / "models.py").write_text(ODD)
    rows = [[0, 0.1, 2], [1, np.nan, 0], [2, 5e-324, 1], [3, 1, 3], [np.inf, 4, 2], [5, -0.0, np.nan]]
    table = pa.table({"x": [row[:2] for row in rows], "n": pa.array([row[2] for row in rows], from_pandas=True)})
    pq.write_table(table, code / "rows.parquet")
    certificate = verify("models.py:Odd", code / "rows.parquet", cwd=code)
    assert certificate.identical
    rows_of = {check.door: check.rows for check in certificate.checks}
    assert rows_of == {"python": 6, "server": 6, "batch": 5, "stream": 5}
    ways = {check.way for check in certificate.checks}
    assert "6 in a call, in smaller ones where these were refused" in ways
    assert "as it is, 5 rows: JSON Lines have no form for the others" in ways


@pytest.mark.parametrize("kind", ["bf16", "no axis"])
def test_tensors_that_differ_from_usual_ones(tmp_path: Path, kind: str) -> None:
    of, dims = (TensorProto.FLOAT, [2]) if kind == "no axis" else (TensorProto.BFLOAT16, ["n", 2])
    path = onnx_build.save(onnx_build.identity(dims, of), tmp_path, "net.onnx")
    (tmp_path / "rows.json").write_text('[{"x": [1.5, 2]}, {"x": [3, 4]}, {"x": [5, 6]}]')
    certificate = verify(path, tmp_path / "rows.json", "--doors", "python", "--doors", "server")
    assert certificate.identical
    assert certificate.doors == ("python", "server")


WAITS = """
import time
from pathlib import Path
import numpy as np

def waits(x: np.ndarray) -> np.ndarray:
    while len(x) > 1 and not Path("go").exists():
        time.sleep(0.01)
    return x.sum(1)
"""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_what_it_has_started_ends_with_it(code: Path) -> None:
    """As a scheduler ends it: the server was left behind, with the port and the model."""
    (code / "models.py").write_text(WAITS)
    source = f"{code}/models.py:waits"
    command = [sys.executable, "-c", _START, "verify", source, "--data", "rows.json", "--doors", "server"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=code) as process:
        assert process.stderr is not None
        assert "server, 1 in a call" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        (code / "go").touch()
        assert process.wait(60) == 128 + signal.SIGTERM
    left = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            left += [path] if source.encode() in path.read_bytes() else []
    assert left == []
    assert not (code / "models.py:waits.certificate.json").exists()


def test_rows_that_the_model_refuses_fail_at_every_door(code: Path) -> None:
    (code / "models.py").write_text(
        "import numpy as np\n"
        "def half(x: np.ndarray) -> np.ndarray:\n"
        "    if (x < 0).any():\n"
        "        raise ValueError('negative')\n"
        "    return x[:, 0] / 2\n"
    )
    (code / "rows.json").write_text(json.dumps([{"x": [row - 2.0]} for row in range(9)]))
    certificate = verify("models.py:half", code / "rows.json", cwd=code)
    assert certificate.identical
    (code / "rows.json").write_text(json.dumps([{"x": [-1.0]}]))
    command = [sys.executable, "-c", _START, "verify", "models.py:half", "--data", "rows.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=code)
    assert done.returncode == 1
    assert "no row of the sample has an answer" in done.stderr
