"""Review sentiment, run as its README says."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def folder(example: Callable[[str], Path]) -> Path:
    return example("review_sentiment")


def test_one_text_gives_its_label_and_score(folder: Path, run: Any) -> None:
    done = run("sentiment.py", "What a lovely film!", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    label, score = done.stdout.split()
    assert label == "positive"
    assert 0.05 <= float(score) <= 1


def test_every_line_is_answered_in_order(folder: Path, run: Any) -> None:
    done = run("sentiment.py", cwd=folder, stdin="I love it ❤️\nA table.\nTerrible 😡\n")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["positive", "neutral", "negative"]


def test_a_file_becomes_a_table(folder: Path, run: Any, tmp_path: Path) -> None:
    done = run("sentiment.py", "--file", "reviews.txt", "-o", tmp_path / "out.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == (folder / "reviews.txt").read_text("utf-8").splitlines()
    assert {row["label"] for row in rows} == {"positive", "neutral", "negative"}
    assert all((float(row["score"]) > 0) == (row["label"] == "positive") for row in rows)


def test_lines_of_json_hold_the_same(folder: Path, run: Any, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("Great ☕\n\nAwful, “never again”.\n", "utf-8")
    run("sentiment.py", "--file", tmp_path / "in.txt", "-o", tmp_path / "out.jsonl", cwd=folder)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [(row["text"], row["label"]) for row in rows] == [
        ("Great ☕", "positive"),
        ("Awful, “never again”.", "negative"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--file", "reviews.txt"], "--file and --out go together"),
        (["--file", "reviews.txt", "-o", "out.xlsx"], "--out ends in .csv or .jsonl"),
        (["--file", "nowhere.txt", "-o", "out.csv"], "nowhere.txt"),
    ],
)
def test_what_cannot_be_is_said(folder: Path, run: Any, arguments: list[str], message: str) -> None:
    done = run("sentiment.py", *arguments, cwd=folder)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, b"Lovely.\n\xff\n"])
def test_a_finished_table_outlives_a_call_that_fails(
    folder: Path, run: Any, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "in.txt").write_bytes(content)
    (tmp_path / "out.csv").write_text("finished")
    done = run("sentiment.py", "--file", tmp_path / "in.txt", "-o", tmp_path / "out.csv", cwd=folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out.csv").read_text() == "finished"
    assert not list(tmp_path.glob("*.part"))


def test_ctrl_c_ends_it_without_a_traceback(folder: Path) -> None:
    command = [sys.executable, "sentiment.py"]
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write("Lovely.\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("positive")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_it_serves_as_its_readme_says(folder: Path, served: Any, blocks: Any) -> None:
    _, serve, curl, *_ = blocks(folder)
    with served(serve, folder) as paste:
        outputs = {output["name"]: output["data"] for output in paste(curl)["outputs"]}
    assert outputs["label"] == ["positive", "neutral"]
    assert outputs["score"][0] > 0.05


def test_it_answers_a_stream_as_its_readme_shows(folder: Path, blocks: Any) -> None:
    *_, line, shown = blocks(folder)
    command = line.replace("| foretell", f"| {sys.executable} -m foretell")
    done = subprocess.run(command, cwd=folder, shell=True, capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == shown.strip()
