"""What a job shows while it runs and at its end: in a terminal, in a narrow one, and where there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import scoring
from terminal import Screen, terminal

from foretell.batch.progress import Progress
from foretell.cli.notes import visible
from foretell.cli.scoring_view import Lines, duration, left
from foretell.clock import ManualClock
from foretell.errors import RowError

SLOW = '''

class Slow(Sum):
    """Needs a file `loaded` to be there before it is."""

    def __init__(self):
        while not Path("loaded").exists():
            threading.Event().wait(0.02)
'''
NUMBERS = re.compile(r"(\d+) of 1,600 rows +[\d,]+ rows/s +(about .*|a moment) left")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return scoring.fill(tmp_path)


def first_shard(screen: str) -> bool:
    return "1 of 4 shards done" in screen


def asked(model: str = "Gated") -> tuple[object, ...]:
    return "score", f"models.py:{model}", "data", "-o", "out", "--key", "id"


def test_a_terminal_shows_how_far_a_job_is_and_where_its_time_goes(folder: Path) -> None:
    scoring.write_files(folder)
    with terminal(*asked(), cwd=folder, columns=200) as shown:
        screen = shown.until(first_shard)
        found = NUMBERS.search(screen)
        assert found is not None and found[1] == "400"
        assert " 25%  400 of" in screen
        assert re.search(r"^What (\d processes are|the process is) doing:$", screen, re.MULTILINE)
        shares = dict(re.findall(r"^(\w+) +[━╸╺ ]+ +(\d+)%", screen, re.MULTILINE))
        assert list(shares) == ["read", "predict", "write", "idle"]
        assert 97 <= sum(map(int, shares.values())) <= 103
        shown.until(lambda screen: re.search(r"^predict .*<- the bottleneck$", screen, re.MULTILINE))
        assert shown.screen.colours
        (folder / "go").touch()
        assert shown.end() == 0
    first, second = str(shown.screen).splitlines()
    assert re.fullmatch(rf"{folder}/out/data: 1,600 rows in [\d.]+ s \([\d,]+ rows/s\)", first)
    assert second == f"report: {folder}/out/_foretell/report.html"


def test_rows_without_an_answer_and_ends_of_processes_are_seen_at_once(folder: Path) -> None:
    scoring.write_files(folder, bad={3: -22.0, 7: -11.0})
    with terminal(*asked(), cwd=folder, columns=200) as shown:
        said = (
            "2 rows put aside without an answer", "a process ended with signal 11 in", "what it had is scored again",
            f"left out: {folder}/data/00.parquet, row 7: the process ended with signal 11",
        )  # fmt: skip
        shown.until(lambda screen: all(each in screen for each in said))
        (folder / "go").touch()
        assert shown.end() == 3
    assert f"2 rows have no answer (2 model_error): {folder}/out/_foretell/quarantine.jsonl" in str(shown.screen)


def test_until_the_model_is_loaded_that_is_what_it_says(folder: Path) -> None:
    (folder / "models.py").write_text(scoring.MODELS + SLOW)
    scoring.write_files(folder, files=1)
    with terminal(*asked("Slow"), cwd=folder) as shown:
        assert shown.until(lambda screen: "loading" in screen) == "loading the model ..."
        (folder / "loaded").touch()
        assert shown.end() == 0
    assert "loading" not in str(shown.screen)


def test_a_narrow_terminal_breaks_no_number(folder: Path) -> None:
    scoring.write_files(folder)
    with terminal(*asked(), cwd=folder, columns=40) as shown:
        screen = shown.until(lambda screen: first_shard(screen) and "bottleneck" in screen)
        lines = screen.splitlines()
        assert lines[0].endswith("  25%") and "━" in lines[0]
        assert lines[1] == "400 of 1,600 rows"
        assert re.fullmatch(r"[\d,]+ rows/s", lines[2])
        assert lines[3].endswith(" left")
        assert re.search(r"^predict +\d+%  <- the bottleneck$", screen, re.MULTILINE)
        (folder / "go").touch()
        assert shown.end() == 0


@pytest.mark.parametrize("columns", [20, 10, 1])
def test_no_terminal_is_too_narrow_to_end(folder: Path, columns: int) -> None:
    scoring.write_files(folder, files=1)
    with terminal(*asked("Sum"), cwd=folder, columns=columns) as shown:
        assert shown.end() == 0
    assert "400rowsin" in "".join(str(shown.screen).split()) or columns == 1  # no space stands at the end of a line


def test_colours_are_left_out_where_nobody_wants_them(folder: Path) -> None:
    scoring.write_files(folder)
    with terminal(*asked(), cwd=folder, env={"NO_COLOR": "1"}) as shown:
        screen = shown.until(first_shard)
        assert NUMBERS.search(screen)
        assert screen.splitlines()[0].startswith("━━━━━━")
        (folder / "go").touch()
        assert shown.end() == 0
    assert shown.screen.colours == set()


def test_a_terminal_that_cannot_draw_gets_lines(folder: Path) -> None:
    scoring.write_files(folder)
    with terminal(*asked("Sum"), "--processes", "9", cwd=folder, columns=200, env={"TERM": "dumb"}) as shown:
        assert shown.end() == 0
    first, second, third = str(shown.screen).splitlines()
    # No more than there are shards for.
    assert re.fullmatch("foretell: 1,600 rows in 4 shards; ([2-4] processes|1 process)", first)
    assert "1,600 rows in" in second and third.startswith("report: ")


def test_ctrl_c_leaves_a_clean_screen(folder: Path) -> None:
    scoring.write_files(folder)
    with terminal(*asked(), cwd=folder) as shown:
        shown.until(first_shard)
        shown.type("\x03")
        assert shown.end() == 130
    assert str(shown.screen).replace("^C", "") == ""
    (folder / "go").touch()
    assert "1,600 rows, 1,200 of them now" in scoring.score(folder, "--key", "id", model="models.py:Gated").stdout


def test_without_a_terminal_there_are_plain_lines(folder: Path) -> None:
    scoring.write_files(folder, bad={7: -11.0})
    done = scoring.score(folder, "--key", "id", code=3)
    assert "\x1b" not in done.stderr + done.stdout
    assert all(line.startswith("foretell: ") for line in done.stderr.splitlines())
    assert "1,600 rows in 4 shards" in done.stderr


def progress(elapsed_s: float, rows: int, **more: int) -> Progress:
    stages = {"read": 0.25, "predict": 0.5, "write": 0.0}
    values = {"quarantined": 0, "shards_done": 1, "shards": 4, "processes": 2, **more}
    return Progress(elapsed_s, rows, rows, 1000, stages=stages, **values)


def test_a_line_is_said_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    lines = Lines(clock)
    for rows in (1000, 2000, 3000):
        clock.advance(4)
        lines.queried(rows)
    lines.began(progress(0, 0, shards=1, processes=1, shards_done=0))
    for second in range(1, 25):
        clock.advance(1)
        lines.went_on(progress(second, second * 10, quarantined=second // 20))
    lines.crashed("ended with signal 9", "a.csv, rows 0 to 3")
    lines.left_out("a.csv, row 3", RowError("model_error", "it ended"))
    assert capsys.readouterr().err.splitlines() == [
        "foretell: 3,000 rows of the query are read",
        "foretell: 1,000 rows in 1 shard; 1 process",
        "foretell: 100 of 1,000 rows; 10 rows/s; about 1 min 30 s left; read 25%, predict 50%, write 0%, idle 25%",
        "foretell: 201 of 1,000 rows; 10 rows/s; about 1 min 20 s left; read 25%, predict 50%, write 0%, idle 25%; "
        "1 without an answer",
        "foretell: a process ended with signal 9 in a.csv, rows 0 to 3: what it had is scored again",
        "foretell: left out: a.csv, row 3: it ended",
    ]


def test_a_job_that_was_asleep_does_not_catch_up_on_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    lines = Lines(clock)
    clock.advance(3600)
    for _ in range(5):
        lines.went_on(progress(1, 1))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_one_row_is_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().began(Progress(0.0, 0, 0, 1, 0, shards=1, shards_done=0, processes=1))
    assert capsys.readouterr().err.startswith("foretell: 1 row in 1 shard; ")


def test_names_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().left_out("a\x1b[2J\r\n\u202e.csv", RowError("model_error", "\x07it"))
    said = capsys.readouterr().err
    assert said == "foretell: left out: a\\u001b[2J\\u000d\\u000a\\u202e.csv: \\u0007it\n"
    assert visible("grüße, 日本.csv") == "grüße, 日本.csv"


def test_time_left_is_told_of_shards_where_the_rows_are_not_known() -> None:
    def left_s(**values: int) -> float | None:
        return Progress(10.0, 50, 50, None, 0, **{"shards": 10, **values}).left_s

    assert left_s(shards_done=1, shards_now=1) is None
    assert left_s(shards_done=5, shards_now=5) == 10.0
    assert left_s(shards_done=5, shards_now=2) == 25.0
    assert Progress(10.0, 50, 50, 100, 0, 0, 1).left_s == 10.0


def test_the_bottleneck_is_what_takes_most_and_nothing_before_there_was_any() -> None:
    def bottleneck(**stages: float) -> str:
        return Progress(1.0, 0, 0, None, 0, 0, 1, stages=stages).bottleneck

    assert bottleneck(read=0.2, predict=0.1, write=0.0) == "read"
    assert bottleneck(read=0.0, predict=0.0, write=0.0) == bottleneck() == ""


@pytest.mark.parametrize(
    ("say", "seconds", "said"),
    [
        (left, 0.4, "a moment left"), (left, 1.2, "about 1 s left"), (left, 59.7, "about 1 min 0 s left"),
        (left, 4000.0, "about 1 h 6 min left"), (duration, 4.24, "4.2 s"), (duration, 7500.0, "2 h 5 min"),
    ],
)  # fmt: skip
def test_times_are_told_as_people_do(say: Callable[[float], str], seconds: float, said: str) -> None:
    assert say(seconds) == said


def test_the_screen_of_these_tests_draws_as_a_terminal_does() -> None:
    screen = Screen(5)
    screen.feed("abcdefg\r\nxy\x1b[1A\x1b[2K\rA\x1b")
    screen.feed("[31mB\nC\x1b[?25l")
    assert str(screen) == "abcde\nAB\nxyC"
    assert screen.colours == {"31"}
