"""Python models in a process of their own that do what they must not: each event ends alone, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import eventing
import program
import psutil
import pytest
from looking import until


def _events(harm: float, at: tuple[int, ...], count: int) -> bytes:
    return eventing.events(range(count), {number: eventing.event(number, harm) for number in at})


def _rest(at: tuple[int, ...], count: int) -> bytes:
    return eventing.summed(number for number in range(count) if number not in at)


@pytest.mark.parametrize(
    ("harm", "at", "code", "why"),
    [
        (-11.0, (70, 3000), "model_error", "its process ended with exit code 7 while it computed this event"),
        (-22.0, (0, 70, 71, 4999), "model_error", "ValueError: minus twenty-two"),
        (-44.0, (70,), "transient", "come back later"),
        (-66.0, (70, 3000), "model_error", "rows"),
        (-77.0, (70,), "model_error", "output 'y'"),
    ],
)  # fmt: skip
def test_an_event_that_harms_the_model_is_put_aside_alone(
    folder: Path, harm: float, at: tuple[int, ...], code: str, why: str
) -> None:
    (folder / "in.jsonl").write_bytes(_events(harm, at, 5000))
    done = eventing.run(folder, "--json", "--retries", 0, "--batch-size", 512, code=3, model="models.py:Sum")
    letters = eventing.letters(folder)
    if code == "transient":  # what passes is not looked for among the events beside it
        assert {letter["code"] for letter in letters} == {code}
        at = tuple(letter["row"] for letter in letters)
    assert (folder / "out.jsonl").read_bytes() == _rest(at, 5000)
    assert [(letter["row"], letter["code"]) for letter in letters] == [(row, code) for row in at]
    assert all(why in letter["message"] for letter in letters)
    assert (json.loads(done.stdout)["crashes"] > 0) == (harm == -11.0)
    if harm == -11.0:
        assert [letter["attempts"] for letter in letters] == [2, 2]


def test_a_call_that_hangs_is_ended_and_its_event_put_aside(folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(_events(-88.0, (2,), 6))
    eventing.run(folder, "--call-timeout-s", 1, "--row-attempts", 1, code=3, model="models.py:Sum")
    assert (folder / "out.jsonl").read_bytes() == _rest((2,), 6)
    (letter,) = eventing.letters(folder)
    assert letter["code"] == "deadline_exceeded"
    assert "took longer than 1" in letter["message"]


def test_a_process_that_is_killed_while_nothing_comes_is_replaced(folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(eventing.events(range(3)))
    with eventing.started(folder, model="models.py:Sum") as process:
        until(lambda: eventing.has_lines(folder / "out.jsonl", 3, process))
        (child,) = psutil.Process(process.pid).children()
        child.kill()
        psutil.wait_procs([child], timeout=60)
        eventing.add(folder / "in.jsonl", eventing.events(range(3, 6)))
        until(lambda: eventing.has_lines(folder / "out.jsonl", 6, process))
    assert (folder / "out.jsonl").read_bytes() == eventing.summed(range(6))
    assert eventing.letters(folder) == []


def test_a_model_that_cannot_be_loaded_is_told_and_nothing_is_begun(folder: Path) -> None:
    (folder / "in.jsonl").write_bytes(eventing.events(range(3)))
    assert "there is no such file" in eventing.run(folder, code=1, model="nowhere.onnx").stderr
    assert "Nothing" in eventing.run(folder, code=1, model="models.py:Nothing").stderr
    assert not (folder / "out.jsonl").exists()


def test_a_pipe_has_a_line_for_each_event_in_order(folder: Path) -> None:
    bad = {3: b"{\n", 7: b"\xff\n", 9: b'{"id":9,"text":"' + b"x" * 10_000_000 + b'"}\n', 10: b"\n"}
    given = eventing.events(range(2000), bad).removesuffix(b"\n")
    done = program.run(
        "stream", "copy.onnx", "--key", "id", "--max-line-bytes", "64KiB", cwd=folder,
        stdin=given.replace(b"\xff", b"7"),
    )  # fmt: skip
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert len(lines) == 1999  # an empty line is no event
    kept = [number for number in range(2000) if number not in bad]
    good = [line for line in lines if "error" not in line]
    assert "".join(line + "\n" for line in good).encode() == eventing.copied(kept)
    errors = {number: json.loads(line)["error"] for number, line in enumerate(lines) if "error" in line}
    assert [(number, error["line"]) for number, error in errors.items()] == [(3, 4), (7, 8), (9, 10)]
    assert "too long" in errors[9]["message"]
    assert "1,999 events in" in done.stderr


def test_results_of_a_pipe_can_go_to_a_file_and_those_of_a_file_to_a_pipe(folder: Path) -> None:
    given = eventing.events(range(5))
    (folder / "in.jsonl").write_bytes(given)
    done = program.run("stream", "copy.onnx", "--key=id", "--source=in.jsonl", "--once", "--json", cwd=folder)
    assert (done.returncode, done.stdout.encode()) == (0, eventing.copied(range(5)))
    assert json.loads(done.stderr)["events"] == 5
    words = ("stream", "copy.onnx", "--key=id", "--sink", "out.jsonl")
    assert program.run(*words, cwd=folder, stdin=given).returncode == 0
    assert (folder / "out.jsonl").read_bytes() == eventing.copied(range(5))
    assert "there is something already" in program.run(*words, cwd=folder, stdin=given).stderr


@pytest.mark.parametrize("executor", ["auto", "thread"])
def test_what_a_model_prints_never_stands_among_the_results(folder: Path, executor: str) -> None:
    words = ("stream", "models.py:Prints", "--key=id", "--executor", executor)
    done = program.run(*words, cwd=folder, stdin=eventing.events(range(3)))
    assert done.stdout.encode() == eventing.summed(range(3))
    assert "printed by a model" in done.stderr
    assert "printed by its child" in done.stderr


def test_who_stops_reading_ends_the_stream(folder: Path) -> None:
    import subprocess

    (folder / "in.jsonl").write_bytes(eventing.events(range(100_000)))
    process = subprocess.Popen(
        program.command("stream", "copy.onnx", "--source", "in.jsonl", "--key", "id"), cwd=folder,
        env=program.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == eventing.copied([0])
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == b""
    process.stderr.close()
