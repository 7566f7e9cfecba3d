"""`foretell predict`: rows from everywhere, answers for people and for programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_build
import pytest


def test_json_on_the_command_line(foretell: Any) -> None:
    assert foretell("predict", "models.py:Double", "[[1, 2], [3, 4]]", "--json").json == [
        {"output": [2, 4]},
        {"output": [6, 8]},
    ]


def test_a_single_row_gives_a_single_answer(foretell: Any) -> None:
    one = foretell("predict", "iris.onnx", "[5.1, 3.5, 1.4, 0.2]", "--json").json
    many = foretell("predict", "iris.onnx", "[[5.1, 3.5, 1.4, 0.2]]", "--json").json
    assert one["label"] == "setosa"
    assert many == [one]


def test_every_kind_of_file_gives_the_same_answer(foretell: Any, folder: Path) -> None:
    flowers, names, _ = onnx_build.iris()
    rows = flowers[::30]
    (folder / "rows.json").write_text(json.dumps(rows.tolist()))
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows.tolist()))
    np.save(folder / "rows.npy", rows)
    with open(folder / "rows.csv", "w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "c", "d"], *rows.tolist()])
    (folder / "named.json").write_text(json.dumps({"X": rows.tolist()}))
    (folder / "data.bin").write_bytes((folder / "rows.npy").read_bytes())
    answers = [
        foretell("predict", "iris.onnx", name, "--json", *more).json
        for name, *more in (
            ["rows.json"], ["rows.jsonl"], ["rows.npy"], ["rows.csv"], ["named.json"],
            ["data.bin", "--format", "npy"], ["rows.csv", "--map", "X=a,b,c,d"],
        )
    ]  # fmt: skip
    assert [record["label"] for record in answers[0]] == names[::30].tolist()
    assert all(answer == answers[0] for answer in answers)


def test_standard_input(foretell: Any) -> None:
    assert foretell("predict", "models.py:shout", "-", "--json", stdin=b'["a", "\xc3\xb6"]').json == [
        {"output": "A"},
        {"output": "Ö"},
    ]


def test_the_best_classes_by_name(foretell: Any) -> None:
    answer = foretell("predict", "iris.onnx", "[5.1, 3.5, 1.4, 0.2]", "--top", "2", "--json").json
    assert list(answer["probabilities"]) == ["setosa", "versicolor"]
    assert "setosa 0." in foretell("predict", "iris.onnx", "[5.1, 3.5, 1.4, 0.2]", "--top", "1").out
    refused = foretell("predict", "models.py:shout", '["a"]', "--top", "2")
    assert refused.code == 2
    assert "--top" in refused.error


def test_rows_that_fail_are_named_and_the_others_answered(foretell: Any, folder: Path) -> None:
    np.save(folder / "rows.npy", np.array([[1, 2], [np.nan, 4], [5, 6]], np.float32))
    result = foretell("predict", "models.py:Strict", "rows.npy", "--json")
    assert result.code == 3
    first, second, third = result.json
    assert (first, third) == ({"y": [1, 2]}, {"y": [5, 6]})
    assert list(second) == ["error"]
    assert "NaN" in second["error"]


def test_a_table_for_people(foretell: Any, folder: Path) -> None:
    np.save(folder / "rows.npy", np.zeros((60, 2), np.float32))
    result = foretell("predict", "models.py:Double", "rows.npy")
    assert result.code == 0
    assert "and 10 more rows" in result.out
    assert result.out.count("[0, 0]") == 50


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["models.py:Double", "missing.csv"], ["missing.csv", "no such file"]),
        (["models.py:Double", "[[1, 2"], ["not valid JSON"]),
        (["iris.onnx", "[[1, 2]]"], ["X", "4"]),
        (["iris.onnx", '[["a", "b", "c", "d"]]'], ["X"]),
        (["iris.onnx", '{"Y": [[1, 2, 3, 4]]}'], ["X"]),
        (["iris.onnx", "models.py"], ["models.py", ".csv"]),
        (["missing.onnx", "[[1]]"], ["missing.onnx"]),
        (["models.py:Missing", "[[1]]"], ["Missing", "Double"]),
    ],
)
def test_what_does_not_fit_ends_in_one_sentence(foretell: Any, arguments: list[str], words: list[str]) -> None:
    result = foretell("predict", *arguments)
    assert result.code == 1
    for word in words:
        assert word in result.error


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["iris.onnx"], ["iris.onnx", "[1]", "more"], ["iris.onnx", "[1]", "--top", "0"],
        ["iris.onnx", "[1]", "--top", "many"], ["iris.onnx", "[1]", "--map", "X"], ["iris.onnx", "[1]", "--nope"],
        ["iris.onnx", "[1]", "--max-batch-size", "0"], ["iris.onnx", "[1]", "--executor", "process"],
    ],
)  # fmt: skip
def test_wrong_use(foretell: Any, arguments: list[str]) -> None:
    result = foretell("predict", *arguments)
    assert result.code == 2
    assert result.error
