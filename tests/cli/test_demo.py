"""`foretell demo` as a user runs it, and the commands that it leaves."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from PIL import Image

from foretell.cli.demo import demo as demo_command
from foretell.cli.demo import ended_like_ctrl_c, folded, print_measured
from foretell.demo.compare import Measured
from foretell.demo.folder import DemoFolder
from foretell.errors import InferenceError

FORETELL = str(Path(sys.executable).parent / "foretell")
MODELS = ("digits", "cancer", "reviews")
WAYS = ("one by one, in process", "one batch, in process", "one by one, HTTP", "32 at a time, HTTP")
pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Ran:
    cwd: Path
    out: str
    err: str
    code: int

    @property
    def folder(self) -> Path:
        return self.cwd / "foretell-demo"

    @property
    def commands(self) -> list[str]:
        """What the reader would paste: the indented lines that are no comments."""
        after = self.out.partition("To try next:")[2]
        return [line.strip() for line in after.splitlines() if line.startswith("  ") and "#" not in line]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A quick run in a folder that an earlier demo, and its user, have left things in."""
    cwd = tmp_path_factory.mktemp("demo")
    earlier = DemoFolder.claim(cwd / "foretell-demo")
    earlier.new("notes.txt").write_text("mine")
    earlier.new("models", "digits", "1", "model.onnx").write_bytes(b"of an earlier run")
    done = run("demo", "--quick", cwd=cwd)
    return Ran(cwd, done.stdout, done.stderr, done.returncode)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(FORETELL).parent), os.environ["PATH"]])
    environment = {**os.environ, "COLUMNS": "100", "PATH": path}
    command = [FORETELL, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=200)


def test_the_table_has_every_model_in_every_way(demo: Ran) -> None:
    assert demo.code == 0, demo.err
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in demo.out.splitlines() if "│" in line]
    assert [row[0] for row in cells if row[0]] == list(MODELS)
    assert [row[1] for row in cells] == list(WAYS) * 3
    assert all(len(row) == 7 and all(row[2:]) for row in cells)
    assert max(len(line) for line in demo.out.partition("To try next:")[0].splitlines()) <= 100


def test_text_is_wrapped_between_words(demo: Ran) -> None:
    text = demo.out.partition("Measured now")[2].partition("Every way")[0]
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "one row, or all rows in the batch." in " ".join(text.split())


def test_progress_is_told_and_nothing_warns(demo: Ran) -> None:
    assert "training" in demo.err
    assert "it serves on http://127.0.0.1:" in demo.err
    assert "warning" not in demo.err.lower()


def test_every_way_gives_every_row_one_answer(demo: Ran) -> None:
    table = json.loads((demo.folder / "comparison.json").read_text())
    assert [(row["model"], row["way"]) for row in table] == [(model, way) for model in MODELS for way in WAYS]
    assert {row["labels_differ"] for row in table} == {0}
    assert "Every way gave every row the same label." in demo.out
    assert max(row["largest_difference"] for row in table) < 1e-6
    assert all(0 < row["p50_ms"] <= row["p99_ms"] and row["rows_per_s"] > 0 for row in table)
    assert {row["rows"] for row in table} == {40}


def test_most_answers_are_right(demo: Ran) -> None:
    right = dict(re.findall(r"^(\w+): ([\d.]+)% of 40 \w+ right", demo.out, re.MULTILINE))
    assert list(right) == list(MODELS)
    assert float(right["digits"]) > 90
    assert float(right["cancer"]) > 90
    assert float(right["reviews"]) > 60


def test_the_folder_is_a_repository_with_samples_and_a_plot(demo: Ran) -> None:
    assert (demo.folder / "models" / "digits" / "1" / "model.onnx").stat().st_size > 1000
    assert (demo.folder / "models" / "cancer" / "1" / "model.skops").is_file()
    assert (demo.folder / "notes.txt").read_text() == "mine"
    with Image.open(demo.folder / "latency.png") as plot:
        assert plot.size == (1800, 720)
        assert len(plot.convert("RGB").getcolors(2**24) or ()) > 50
    with Image.open(demo.folder / "inputs" / "digit.png") as digit:
        assert (digit.size, digit.mode) == ((8, 8), "L")


def test_the_commands_that_predict_and_inspect_work(demo: Ran) -> None:
    lines = [line for line in demo.commands if " predict " in line or " inspect " in line]
    assert [shlex.split(line)[1] for line in lines] == ["predict", "predict", "predict", "inspect"]
    image, table, reviews, inspected = (run(*shlex.split(line)[1:], cwd=demo.cwd) for line in lines)
    assert [image.returncode, table.returncode, reviews.returncode, inspected.returncode] == [0] * 4
    assert re.search(r"two: 0\.\d+, \w+: 0\.\d+, \w+: 0\.\d+", image.stdout)
    assert "malignant" in table.stdout
    assert "positive" in reviews.stdout
    assert "/v2/models/digits/infer" in inspected.stdout


def test_the_command_that_scores_works(demo: Ran) -> None:
    (line,) = [line for line in demo.commands if " score " in line]
    done = run(*shlex.split(line)[1:], cwd=demo.cwd)
    assert done.returncode == 0, done.stderr
    lines = (demo.cwd / "foretell-demo" / "scores.csv").read_text().splitlines()
    assert lines[0].startswith("row,label,")
    assert len(lines) > 10


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_server_and_the_requests_to_it_work(demo: Ran) -> None:
    lines = [line for line in demo.commands if " serve " in line or line.startswith("curl ")]
    assert len(lines) == 4
    with served(shlex.split(lines[0])[1:], demo.cwd) as address:
        elsewhere = demo.cwd.parent
        outputs = [answer(line.replace("127.0.0.1:8000", address), elsewhere)["outputs"] for line in lines[1:]]
    labels = [next(output for output in each if output["name"] == "label")["data"] for each in outputs]
    assert labels == [[2], ["malignant"], ["positive"]]


def test_the_table_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, where every warning is an error. A model beside those of the demo is not its business."""
    DemoFolder.claim(tmp_path / "another place").new("models", "mine", "1", "model.onnx").write_bytes(b"no model")
    assert demo_command(out=tmp_path / "another place", quick=True, json=True) == 0
    table = json.loads(capsys.readouterr().out)
    assert len(table) == 12
    assert table == json.loads((tmp_path / "another place" / "comparison.json").read_text())


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """Tests that a shell runs in its background ignore Ctrl-C, and so would every program that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("whom", ["everyone", "the demo"])
def test_ctrl_c_leaves_no_process(tmp_path: Path, whom: str) -> None:
    """A terminal sends the signal to the server too; `kill -TERM` sends it to the demo alone."""
    command = [FORETELL, "demo", "--quick"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        wait_for("it serves on", process.stderr)
        if whom == "everyone":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == (130 if whom == "everyone" else 128 + signal.SIGTERM)
    assert b"Traceback" not in rest
    with pytest.raises(ProcessLookupError):  # its group is empty, and the server was in it
        os.killpg(process.pid, 0)


def test_a_full_disk_is_told_as_one_of_the_folder(tmp_path: Path) -> None:
    DemoFolder.claim(tmp_path).new("models", "digits", "1", "model.onnx").symlink_to("/dev/full")
    with pytest.raises(InferenceError, match="the demo cannot go on; got No space left on device") as failed:
        demo_command(out=tmp_path, quick=True)
    assert str(tmp_path) in str(failed.value)


def test_a_package_that_does_not_load_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "skops").mkdir()
    (tmp_path / "skops" / "__init__.py").write_text("raise ImportError('built for something else')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run([sys.executable, "-m", "foretell", "demo", "--quick"], cwd=tmp_path, capture_output=True,
                          text=True, check=False, timeout=60, env={**os.environ, "PYTHONPATH": path})  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "does not load; got built for something else; pip install --force-reinstall" in done.stderr


def test_a_hangup_that_is_ignored_stays_so() -> None:
    """As `nohup` means it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_like_ctrl_c():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_narrow_terminal_gets_lines_of_whole_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_measured((Measured("digits", WAYS[3], 1797, 1797, 0.25, 3.5, 12345.0, 1e-7, 2),))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 40
    words = "p50 0.250 ms, p99 3.500 ms, 12,345 rows/s, largest difference 1.0e-07, 2 other labels"
    assert words in " ".join(out.split())


def test_another_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"meow")
    done = run("demo", "--quick", "--out", "photos", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "foretell: photos: this folder holds something else; name an empty or a new one with --out\n"
    assert [entry.name for entry in (tmp_path / "photos").iterdir()] == ["cat.png"]


def test_a_missing_extra_is_one_line(tmp_path: Path) -> None:
    without = (
        "import sys; sys.modules['vaderSentiment'] = None; from foretell.cli import main; sys.exit(main(['demo']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", without], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "vaderSentiment" in done.stderr
    assert "foretell[demo]" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [1, 20, 40, 60, 80])
def test_a_long_command_is_folded_between_words_and_stays_one_command(columns: int) -> None:
    command = "foretell serve 'a b' demo/models reviews=demo/reviews.py:ReviewSentiment --http-port 9"
    lines = folded(command, columns)
    assert all(len(line) <= columns or len(shlex.split(line.removesuffix(" \\"))) == 1 for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)


def test_a_command_that_fits_stays_on_its_line() -> None:
    assert folded("foretell inspect model.onnx", 29) == ["  foretell inspect model.onnx"]


@contextmanager
def served(arguments: list[str], cwd: Path) -> Iterator[str]:
    """The command that a reader would paste, on a free port; gives host and port."""
    process = subprocess.Popen([FORETELL, *arguments, "--http-port", "0"], cwd=cwd, stderr=subprocess.PIPE)
    try:
        yield wait_for("serving on http://", process.stderr).partition("http://")[2].split()[0]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def wait_for(text: str, lines: IO[bytes] | None) -> str:
    assert lines is not None
    seen: list[str] = []
    for line in lines:
        seen.append(line.decode())
        if text in seen[-1]:
            return seen[-1]
    raise AssertionError(f"no {text!r} in {seen}")


def answer(line: str, cwd: Path) -> Any:
    done = subprocess.run(shlex.split(line), cwd=cwd, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)
