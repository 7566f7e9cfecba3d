"""`foretell bench` on real models, in this process."""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx_build
import pytest

from foretell.bench.sample import sample
from foretell.cli import main
from foretell.columns import Bytes, Dense
from foretell.engine.check import check_batch
from foretell.errors import InvalidInput
from foretell.types import DataType, ModelSpec, TensorSpec


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    return onnx_build.save(onnx_build.iris_onnx(zipmap=False), tmp_path, "iris.onnx")


def run(*words: object) -> int:
    return main(["bench", *map(str, words)])


def test_every_way_is_measured(iris: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--json", "--seconds", 0.02, "--max-size", 4, "--max-replicas", 3, "--price-per-hour", 0.5)
    assert run(iris, *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "iris"
    ways = [(point["mode"], point["size"]) for point in found["points"] if not point["threads"] + point["replicas"]]
    assert ways == [("one by one", 1), ("batched", 2), ("batched", 4),
                    ("micro-batched", 1), ("micro-batched", 2), ("micro-batched", 4)]  # fmt: skip
    for point in found["points"]:
        assert point["rows_per_s"] > 0
        assert 0 < point["p50_ms"] <= point["p99_ms"]
        assert point["cost_per_million"] == pytest.approx(0.5 / 3600 * 1e6 / point["rows_per_s"])
    assert found["advice"]
    pairs = [(point["replicas"], point["mode"]) for point in found["points"] if point["replicas"]]
    assert pairs[:2] == [(1, "micro-batched"), (2, "micro-batched")]
    assert pairs[2:] in ([], [(1, "micro-batched"), (3, "micro-batched")])
    assert any("replica" in each["flag"] + each["why"] for each in found["advice"])


GIL = """
import os
from foretell import DataType, TensorSpec

class Gil:
    inputs = (TensorSpec("x", DataType.FP32, (2,)),)

    def load(self):
        with open(__file__ + ".pids", "a") as file:
            file.write(f"{os.getpid()}\\n")

    def predict(self, x):
        return [sum(row) for row in x.tolist()]
"""


def test_replicas_of_a_model_that_holds_the_interpreter_are_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gil.py").write_text(GIL)
    monkeypatch.setenv("FORETELL_EXECUTOR", "process")
    assert run(f"{tmp_path}/gil.py:Gil", "--seconds", 0.05, "--max-size", 2, "--max-replicas", 2) == 0
    printed = capsys.readouterr().out
    assert "│ 1 replica " in printed and "│ 2 replicas " in printed
    assert "measured in " in printed
    pids = (tmp_path / "gil.py.pids").read_text().split()
    assert len(set(pids)) == len(pids) == 4  # as it is set, one replica, and two beside it
    assert str(os.getpid()) not in pids


@pytest.mark.parametrize(("name", "value"), [("replicas", "2"), ("executor", "inline")])
def test_what_somebody_has_chosen_is_not_measured_against(
    iris: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FORETELL_{name.upper()}", value)
    assert run(iris, "--seconds", 0.001, "--max-size", 1, "--max-replicas", 2, "--json") == 0
    assert not any(point["replicas"] for point in json.loads(capsys.readouterr().out)["points"])


def test_a_replica_that_cannot_be_opened_costs_no_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once = GIL.replace(
        "        with open",
        "        if os.path.exists(__file__ + '.pids'): raise ValueError('once')\n        with open",
    )
    (tmp_path / "once.py").write_text(once)
    assert run(f"{tmp_path}/once.py:Gil", "--seconds", 0.05, "--max-size", 1, "--max-replicas", 2, "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["points"]
    assert "replicas are not measured: " in printed.err and "once" in printed.err


def test_people_get_a_table_and_a_page(iris: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "bench.html"
    assert run(iris, "--seconds", 0.001, "--max-size", 2, "--page", page) == 0
    printed = capsys.readouterr()
    assert "--max-batch-size" in printed.out
    assert "foretell: one by one, 1:" in printed.err
    seen: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
            seen.append(tag)
            assert not any(name in ("src", "href") for name, _ in attrs)

    Tags().feed(page.read_text("utf-8"))
    assert seen.count("svg") == 4
    assert "script" not in seen


def test_calls_of_some_sizes_alone(iris: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(iris, "--json", "--seconds", 0.001, "--size", 1, "--size", 200) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(point["mode"], point["size"]) for point in found["points"]] == [("one by one", 1), ("batched", 200)]
    assert found["advice"] == []


def test_rows_of_ones_own(iris: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "rows.npy", onnx_build.iris()[0][:3].astype(np.float32))
    assert run(iris, "--json", "--seconds", 0.001, "--max-size", 1, "--data", tmp_path / "rows.npy") == 0
    assert json.loads(capsys.readouterr().out)["points"][0]["mode"] == "one by one"


CODE = """
import os
import numpy as np
from foretell import DataType, TensorSpec

class Odd:
    inputs = (TensorSpec("x", DataType.FP32, (2,)),)

    def predict(self, x):
        os.write(1, b"hello")
        if (x[:, 0] == 3).any():
            raise ValueError("three")
        return x.sum(1)
"""


def test_rows_that_fail_are_no_fast_answers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And what a model prints is no part of the JSON."""
    (tmp_path / "odd.py").write_text(CODE)
    words = [f"{tmp_path}/odd.py:Odd", "--seconds", 0.001, "--size", 2, "--json", "--data"]
    assert run(*words, '{"x": [[3, 1], [1, 2]]}') == 0
    printed = capfd.readouterr()
    assert json.loads(printed.out)["points"][0]["size"] == 2
    assert "1 row left out, without an answer; row 0: Odd.predict: ValueError: three" in printed.err
    assert "hello" in printed.err
    assert run(*words, '{"x": [[3, 1]]}') == 1
    assert "no row to measure with has an answer; row 0" in capfd.readouterr().err
    assert run(*words, "[]") == 1
    assert "there are none" in capfd.readouterr().err


def test_a_page_takes_the_place_of_nothing(iris: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = iris.read_bytes()
    for place in (iris, tmp_path, tmp_path / "no" / "page.html"):
        assert run(iris, "--seconds", 0.001, "--max-size", 1, "--page", place) == 2
        assert "the page" in capsys.readouterr().err
    assert iris.read_bytes() == model
    for _ in range(2):
        assert run(iris, "--seconds", 0.001, "--size", 1, "--page", tmp_path / "page.html") == 0


def test_sizes_end_where_a_call_takes_too_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "slow.py").write_text(CODE.replace('os.write(1, b"hello")', "__import__('time').sleep(0.03)"))
    assert run(f"{tmp_path}/slow.py:Odd", "--seconds", 0.001, "--max-replicas", 2, "--json") == 0
    printed = capsys.readouterr()
    assert {point["size"] for point in json.loads(printed.out)["points"]} == {1}
    assert "larger ones are not measured" in printed.err
    assert "replicas are not measured, since an answer takes 0.03" in printed.err


@pytest.mark.parametrize(
    "words",
    [
        ["--max-size", "0"],
        ["--size", "0"],
        ["--size", "2000000000"],
        ["--seconds", "0"],
        ["--seconds", "inf"],
        ["--slo-ms", "0"],
        ["--price-per-hour", "-1"],
        ["--max-replicas", "0"],
    ],
)
def test_wrong_use(iris: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(iris, *words) == 2
    assert f"{words[0]} is out of range" in capsys.readouterr().err


def test_rows_are_made_up_that_fit() -> None:
    kinds = [kind for kind in DataType if kind is not DataType.BF16]
    spec = ModelSpec(tuple(TensorSpec(kind.value, kind, (2, None)) for kind in kinds))
    rows = sample(spec, 5)
    assert check_batch(rows, spec).errors == {}
    assert all(isinstance(column, (Dense, Bytes)) for column in rows.columns.values())
    with pytest.raises(InvalidInput, match="--data"):
        sample(ModelSpec((TensorSpec("x"),)), 1)
