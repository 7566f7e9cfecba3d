"""What a stream shows while it runs."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import eventing
import pytest
import terminal

from foretell.cli.stream_view import StreamView, line_of, told
from foretell.clock import ManualClock
from foretell.events.report import Progress, Report

REPORT = Report("in.jsonl", "out.jsonl", 1500, 0, 2.0, "done", {"name": "m"})


def test_a_line_tells_how_many_and_how_fast() -> None:
    assert line_of(Progress(1500, 0, 2.0), (500, 1.0)) == "1,500 events; 1,000 events/s"
    assert line_of(Progress(1, 0, 2.0), (0, 1.0)) == "1 event; 1 events/s"
    assert line_of(Progress(1500, 2, 2.0), (1500, 2.0)) == "1,500 events; 0 events/s; 2 without an answer"


def test_lines_come_every_ten_seconds_and_for_what_is_unusual(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    with StreamView(clock=clock) as view:
        view.went_on(Progress(10, 0, 1.0))
        view.noted("in.jsonl was rotated\x1b[2J", "info")
        clock.advance(11)
        view.went_on(Progress(110, 1, 11.0))
        view.went_on(Progress(120, 1, 11.1))
        view.noted("it is gone", "warning")
    assert capsys.readouterr().err.splitlines() == [
        "foretell: in.jsonl was rotated\\u001b[2J",
        "foretell: 110 events; 10 events/s; 1 without an answer",
        "foretell: warning: it is gone",
    ]


def test_the_end_is_told_in_a_line_or_as_json() -> None:
    out = io.StringIO()
    told(REPORT, out, json=False)
    resumed = replace(REPORT, events=1, resumed=True, events_total=9, dead_letters=2, reasons={"invalid_input": 2},
                      dead_letter_file="dead.jsonl", crashes=1)  # fmt: skip
    told(resumed, out, json=False)
    assert out.getvalue().splitlines() == [
        "out.jsonl: 1,500 events in 2.0 s (750 events/s)",
        "out.jsonl: 1 event in 2.0 s (0 events/s), 9 since its beginning",
        "2 events have no answer (2 invalid_input): dead.jsonl",
        "the model's process ended once, and was replaced",
    ]
    out = io.StringIO()
    told(REPORT, out, json=True)
    assert json.loads(out.getvalue())["events_per_s"] == 750


def test_a_terminal_shows_one_line_until_the_end(tmp_path: Path) -> None:
    folder = eventing.fill(tmp_path)
    (folder / "in.jsonl").write_bytes(eventing.events(range(20)))
    with terminal.terminal("stream", "copy.onnx", *eventing.WORDS, cwd=folder) as shown:
        assert shown.until(lambda screen: "20 events; " in screen).count("\n") == 0
        shown.type("\x03")
        assert shown.end() == 0
        assert "since its beginning" not in str(shown.screen)
        assert "events in" in str(shown.screen)
