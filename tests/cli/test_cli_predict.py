"""`foretell predict`: rows from everywhere, answers for people and for programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx_build
import pytest

from foretell.cli.predict import Format
from foretell.forms.files import FORMATS


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


def test_bfloat16_is_shown_as_the_numbers_it_means(foretell: Any, folder: Path) -> None:
    onnx_build.save(onnx_build.identity(["N", 2], onnx_build.TensorProto.BFLOAT16), folder, "b.onnx")
    assert foretell("predict", "b.onnx", "[1, -2]", "--json").json == {"y": [1.0, -2.0]}
    assert foretell("predict", "b.onnx", "[1, -2]", "--json", "--top", "1").json == {"y": {"0": 1.0}}


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


def test_standard_input_in_any_format(foretell: Any, folder: Path) -> None:
    table = b"a,b,c,d\n5.1,3.5,1.4,0.2\n"
    assert foretell("predict", "iris.onnx", "-", "--format", "csv", "--json", stdin=table).json[0]["label"] == "setosa"
    assert "not valid JSON" in foretell("predict", "iris.onnx", "-", stdin=table).error


def test_the_best_classes_by_name(foretell: Any) -> None:
    answer = foretell("predict", "iris.onnx", "[5.1, 3.5, 1.4, 0.2]", "--top", "2", "--json").json
    assert list(answer["probabilities"]) == ["setosa", "versicolor"]
    assert "setosa: 0." in foretell("predict", "iris.onnx", "[5.1, 3.5, 1.4, 0.2]", "--top", "1").out
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


def test_rows_with_missing_values_are_counted(foretell: Any, folder: Path) -> None:
    (folder / "rows.csv").write_text("a,b,c,d\n5.1,3.5,1.4,0.2\n5.1,,,0.2\n5.1,3.5,1.4,\n")
    result = foretell("predict", "iris.onnx", "rows.csv", "--json")
    assert (result.code, len(result.json)) == (0, 3)
    assert result.err == "foretell: note: missing values (NaN) in 2 of 3 rows\n"
    assert foretell("predict", "iris.onnx", "[5.1, 3.5, 1.4, 0.2]").err == ""
    assert foretell("predict", "iris.onnx", "[]", "--json").json == []


@pytest.mark.parametrize("job", [[], ["--batch-size", "2"], ["--batch-size", "1", "--num-workers", "3"]])
def test_calls_of_any_size_give_the_same_answers(foretell: Any, folder: Path, job: list[str]) -> None:
    (folder / "sizes.py").write_text(
        "def size(x: list[float]) -> list[int]:\n    return [len(x)] * len(x)\n"
        "class Mean:\n    row_wise = False\n"
        "    def predict(self, x: list[float]) -> list[int]:\n        return [len(x)] * len(x)\n"
    )
    sizes = foretell("predict", "sizes.py:size", "[1, 2, 3, 4]", "--json", *job).json
    assert [row["output"] for row in sizes] == [int(job[1]) if job else 4] * 4
    together = foretell("predict", "sizes.py:Mean", "[1, 2, 3, 4]", "--json").json
    assert [row["output"] for row in together] == [4] * 4


def test_the_size_of_calls_has_its_settings(foretell: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sizes.py").write_text("def size(x: list[float]) -> list[int]:\n    return [len(x)] * len(x)\n")
    (folder / "foretell.toml").write_text("[job]\nbatch_size = 3\n")
    assert foretell("predict", "sizes.py:size", "[1, 2, 3]", "--json").json == [{"output": 3}] * 3
    monkeypatch.setenv("FORETELL_BATCH_SIZE", "1")
    assert foretell("predict", "sizes.py:size", "[1, 2, 3]", "--json").json == [{"output": 1}] * 3


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
        (["models.py:shout", "hello"], ["hello: there is no such file", """'["some text"]'"""]),
        (["models.py:Double", "5"], ["5: there is no such file", "JSON list", "'[[1, 2]]'"]),
        (["models.py:shout", "x" * 5000], ["there is no such file"]),
        (["models.py:Double", ""], ["DATA is empty", "JSON list"]),
        (["models.py:Double", "."], [".: this is a folder", "expected a file"]),
        (["models.py:Double", "[[1, 2"], ["not valid JSON"]),
        (["iris.onnx", "[[1, 2]]"], ["X", "4"]),
        (["iris.onnx", '[["a", "b", "c", "d"]]'], ["X"]),
        (["iris.onnx", '{"Y": [[1, 2, 3, 4]]}'], ["X"]),
        (["iris.onnx", "models.py"], ["models.py", ".csv"]),
        (["missing.onnx", "[[1]]"], ["missing.onnx", "models here: iris.onnx"]),
        (["irsi.onnx", "[[1]]"], ["irsi.onnx", "did you mean 'iris.onnx'?"]),
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
        ["iris.onnx", "[1]", "--top", "many"], ["iris.onnx", "[1]", "--top", "1.5"],
        ["iris.onnx", "[1]", "--batch-size", "0"], ["iris.onnx", "[1]", "--format", "cvs"],
        ["iris.onnx", "[1]", "--max-queue-size", "5"], ["--MODEL", "iris.onnx", "[1]"],
        ["iris.onnx", "[1]", "--map", "X"], ["iris.onnx", "[1]", "--nope"],
        ["iris.onnx", "[1]", "--max-batch-size", "0"], ["iris.onnx", "[1]", "--executor", "process"],
    ],
)  # fmt: skip
def test_wrong_use(foretell: Any, arguments: list[str]) -> None:
    result = foretell("predict", *arguments)
    assert result.code == 2
    assert result.error


def test_what_is_missing_or_too_much_is_told_by_its_name(foretell: Any) -> None:
    usage = "expected foretell predict MODEL DATA"
    assert foretell("predict").error == f"MODEL is missing; {usage}"
    assert foretell("predict", "iris.onnx").error == f"DATA is missing; {usage}"
    assert (
        foretell("predict", "iris.onnx", "[1]", "more").error == f"there is an argument too many; {usage}, got 'more'"
    )
    assert foretell("predict", "iris.onnx", "[1]", "--top").error.startswith("--top needs a value")
    assert foretell("predict", "iris.onnx", "[1]", "--top", "1.5").error.endswith("expected a whole number, got '1.5'")


def test_every_format_can_be_chosen() -> None:
    assert get_args(Format) == FORMATS


def test_of_several_devices_one_is_enough_for_one_call_after_the_other(foretell: Any, folder: Path) -> None:
    (folder / "placed.py").write_text(
        "class Placed:\n"
        "    def load(self, device: str):\n"
        "        with open('loaded', 'a') as loaded:\n"
        "            loaded.write(device + ' ')\n"
        "        self.number = int(device.partition(':')[2])\n"
        "    def predict(self, x: float) -> float:\n"
        "        return x + self.number\n"
    )
    assert foretell("predict", "placed.py:Placed", "[1]", "--device", "gpu:3,gpu:4", "--json").json == [{"output": 4}]
    assert (folder / "loaded").read_text() == "gpu:3 "
    refused = foretell("serve", "placed.py:Placed", "--device", "gpu:3,gpu:3")
    assert (refused.code, refused.error.endswith("one is there twice; got 'gpu:3,gpu:3'; set replicas instead")) == (
        2,
        True,
    )
