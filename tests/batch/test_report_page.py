"""The report for people: one file that nothing can be smuggled into, and that is right also where there is little."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from foretell.batch.report import Report
from foretell.batch.report_page import page
from foretell.batch.report_plots import scale, times
from foretell.batch.report_text import count, escaped, lasted, short, size
from foretell.batch.shard_times import ShardTimes, SlowShard

VOID = {"meta", "br"}
"""What has no end. Shapes end themselves."""
POINTS = 50


class Document(HTMLParser):
    """The text and the tags of a page; every tag that is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(each == tag for each, _ in self.tags)


def timeline() -> dict[str, list[float]]:
    moments = [at * 0.5 for at in range(POINTS)]
    return {
        "at_s": moments, "rows": [at * 1000.0 for at in range(POINTS)], "quarantined": [0] * POINTS,
        "read_s": [at * 0.1 for at in moments], "predict_s": [at * 1.6 for at in moments],
        "decode_s": [0.0] * POINTS, "preprocess_s": [0.0] * POINTS,
        "write_s": [at * 0.1 for at in moments], "processes": [2] * POINTS, "call_rows": [64.0] * 9 + [128.0] * 41,
    }  # fmt: skip


def report(**values: Any) -> Report:
    slow = SlowShard("data/9.parquet", 400, 100, 1.5)
    usual: dict[str, Any] = {
        "out": "out/data", "rows": 49_000, "quarantined": 0, "scored_now": 49_000, "seconds": 25.0, "shards": 10,
        "shards_now": 10, "bytes_in": 12_345_678, "bytes_out": 999, "processes": 2, "crashes": 0,
        "model": {"name": "iris", "version": "3", "digest": "sha256:abc"},
        "stages": {"read": 2.45, "predict": 39.2, "write": 2.45}, "html": "out/_foretell/report.html",
        "started_at": "2026-11-22T00:30:00+00:00", "ended_at": "2026-11-22T00:30:25+00:00", "files": 3,
        "data": "data/0.parquet", "kind": "parquet", "shards_done": 10, "total_rows": 49_000,
        "phases": {"start": 0.4, "score": 24.5, "publish": 0.1},
        "shard_times": ShardTimes(10, 0.1, 0.9, 1.5, (0,) * 10 + (9,) + (0,) * 12 + (1,), (slow,)),
        "machine": {"cores": 2, "system": "Linux 6.1", "processor": "A processor", "python": "3.11", "foretell": "0.1"},
        "timeline": timeline(),
    }  # fmt: skip
    return Report(**{**usual, **values})


def shown(**values: Any) -> Document:
    return Document(page(report(**values)))


def test_the_first_thing_is_the_outcome_and_then_what_it_cost() -> None:
    seen = shown(cost=0.25).text
    order = [seen.index(each) for each in ("All 49,000 rows scored.", "Rows per second", "1,960", "25.0 s", "5.1")]
    assert order == sorted(order)
    facts = (
        "iris", "version 3", "sha256:abc", "3 files, 12.3 MB, parquet", "data/0.parquet and 2 more", "out/data",
        "999 bytes", "2 cores, A processor, Linux 6.1", "2026-11-22 00:30:00 UTC",
        "400 ms before the first shard, 24.5 s to score, 100 ms to put the output in its place",
    )  # fmt: skip
    for fact in facts:
        assert fact in seen


def test_the_bottleneck_is_named_with_its_share() -> None:
    assert "The bottleneck is predict, the model itself: 80% of the time of the processes." in shown().text
    stages = {"read": 30.0, "predict": 5.0, "write": 1.0}
    assert "The bottleneck is read, reading the data: 61%" in shown(stages=stages).text
    assert (
        "For more than half of their time the processes were starting or idle; most of the rest was write"
        in shown(stages={"write": 9.0}).text
    )


def test_plots_say_in_words_what_they_show() -> None:
    drawn = shown()
    plots = [attributes for tag, attributes in drawn.tags if tag == "svg"]
    assert len(plots) == 4
    ids = [attributes["id"] for _, attributes in drawn.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for plot in plots:
        assert plot["role"] == "img"
        assert set(str(plot["aria-labelledby"]).split()) <= set(ids)
    assert "2,000 on average" in drawn.text
    assert "From 64 to 128 rows a call; 128 at most." in drawn.text
    tuned = shown(timeline={**timeline(), "processes": [2] * 30 + [4] * 10 + [3] * 10})
    assert "From 2 to 3 processes; 4 at most." in tuned.text
    fewer = shown(timeline={**timeline(), "processes": [2] * 30 + [1] * 20})
    assert "Processes over time" not in fewer.text
    assert "half of them took 900 ms or less, the slowest 1.5 s" in drawn.text
    assert "data/9.parquet" in drawn.text and "400 to 499" in drawn.text


def test_rows_without_an_answer_are_shown_by_reason_with_an_example() -> None:
    text = shown(
        rows=48_990, quarantined=10, reasons={"model_error": 9, "deadline_exceeded": 1}, quarantine="out/q.jsonl",
        examples={"model_error": "data/0.parquet, row 3: it broke"},
    ).text  # fmt: skip
    assert "48,990 rows scored, 10 put aside." in text
    assert "0.02% of all" in text
    assert re.search(r"model error9data/0.parquet, row 3: it broke.*deadline exceeded1", text)
    assert "2 reasons. All of them are in out/q.jsonl." in text


def test_a_run_that_went_on_says_what_was_there() -> None:
    text = shown(scored_now=9_000, shards_now=2).text
    assert "40,000 rows had been scored before, 9,000 were scored now" in text
    assert "9,000 in this run" in text


def test_a_job_that_stopped_says_so_first_and_what_to_do() -> None:
    text = shown(outcome="stopped", error="too many bad rows", rows=7, scored_now=7, shards_done=1).text
    assert "Stopped after 7 of 49,000 rows." in text
    assert text.index("too many bad rows") < text.index("Rows per second")
    assert "goes on where it stopped" in text
    assert "1 of 10" in text
    interrupted = shown(outcome="interrupted", rows=0, scored_now=0, total_rows=None, timeline={}, shard_times=None)
    assert "Interrupted before the first row." in interrupted.text


@pytest.mark.parametrize("points", [0, 1, 2])
def test_a_job_that_was_over_at_once_has_no_empty_plots(points: int) -> None:
    short = {name: values[:points] for name, values in timeline().items()} if points else {}
    drawn = shown(
        rows=1, scored_now=1, seconds=0.05, shards=1, shards_now=1, shards_done=1, timeline=short, stages={},
        shard_times=ShardTimes(1, 0.0, 0.0, 0.0, (1,) + (0,) * 23), total_rows=1, bytes_in=0, files=1, phases={},
    )  # fmt: skip
    assert drawn.count("svg") == 0
    assert "1 row scored." in drawn.text
    assert "50 ms" in drawn.text
    assert "nan" not in drawn.text and "inf" not in drawn.text.replace("information", "")


def test_a_query_is_named_with_when_it_was_read() -> None:
    text = shown(data="the query of sqlite:////app.db", files=1, kind="sql", read_at="2026-11-22T00:29:58Z").text
    assert "the query of sqlite:////app.db12.3 MB, read 2026-11-22 00:29:58 UTC" in text


def test_memory_is_told_where_it_was_measured() -> None:
    assert "Memory412 MB at most, of all processes" in shown(memory_bytes=412_000_000).text
    assert "Memory" not in shown().text


def test_nothing_is_said_of_tuning_where_nothing_was_tuned() -> None:
    line = {**timeline(), "call_rows": [64] * POINTS, "processes": [2] * POINTS}
    text = shown(timeline=line).text
    assert "tuned" not in text and "2, 64 rows a call at the end" in text


def test_a_job_with_no_rows_at_all_is_a_report_too() -> None:
    drawn = shown(rows=0, scored_now=0, shards=0, shards_now=0, shards_done=0, timeline={}, stages={}, total_rows=0,
                  shard_times=None, seconds=0.0, machine={}, model={}, files=0, data="", events=())  # fmt: skip
    assert "0 rows scored." in drawn.text


NASTY = "<script>alert(1)</script>\"'&\u202egpj.exe\u2066\x1b[31m\x00\ud800 שלום.csv"


def test_nothing_of_a_name_or_an_error_becomes_markup_or_turns_the_line() -> None:
    drawn = page(report(
        out=NASTY, data=NASTY, kind=NASTY, error=NASTY, outcome="stopped", quarantined=1, reasons={NASTY: 1},
        examples={NASTY: NASTY}, quarantine=NASTY, events=(NASTY,), html=NASTY, started_at=NASTY, ended_at=NASTY,
        model={"name": NASTY, "version": NASTY, "digest": NASTY}, crashes=2,
        machine={"cores": 2, "system": NASTY, "processor": NASTY, "python": NASTY, "foretell": NASTY},
        shard_times=ShardTimes(2, 0.1, 0.1, 0.1, (2,), (SlowShard(NASTY, 0, 0, 0.1),)),
    ))  # fmt: skip
    assert not re.search("[\u202a-\u202e\u2066-\u2069\ud800-\udfff\x00-\x09\x0b-\x1f]", drawn)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;\\u202egpj.exe" in drawn
    document = Document(drawn)
    risky = {"script", "a", "img", "link", "iframe", "form", "base", "object"}
    assert {tag for tag, _ in document.tags} & risky == set()
    assert all(not name.startswith("on") for _, attributes in document.tags for name in attributes)
    drawn.encode()


def test_it_needs_nothing_from_anywhere() -> None:
    drawn = page(report())
    assert "http://" not in drawn and "https://" not in drawn and "url(" not in drawn and "@import" not in drawn
    assert "default-src 'none'" in drawn
    assert "prefers-color-scheme:dark" in drawn and "@media print" in drawn


def test_it_stays_small_however_much_went_wrong() -> None:
    many = {f"reason_{at}": at + 1 for at in range(1000)}
    long = "x" * 100_000
    drawn = page(report(reasons=many, examples=dict.fromkeys(many, long), error=long, outcome="stopped", out=long))
    assert len(drawn) < 100_000


def test_numbers_are_written_for_people() -> None:
    assert [count(each) for each in (0, 7, 1234567, 99.5, 0.123456)] == ["0", "7", "1,234,567", "99.5", "0.123"]
    assert [short(each) for each in (0, 950, 12_000, 1.5e6, 2e9)] == ["0", "950", "12k", "1.5M", "2G"]
    assert [size(each) for each in (0, 999, 1000, 12_345_678, 10**16)] == [
        "0 bytes", "999 bytes", "1 KB", "12.3 MB", "10 PB",
    ]  # fmt: skip
    assert [lasted(each) for each in (0, 0.0004, 0.9996, 59.94, 59.97, 3600, 7500)] == [
        "0 ms", "0 ms", "1.0 s", "59.9 s", "1 min 0 s", "1 h 0 min", "2 h 5 min",
    ]  # fmt: skip
    assert escaped("👩‍💻 naïve\ttab") == "👩‍💻 naïve tab"


@pytest.mark.parametrize("most", [1e-9, 0.003, 0.7, 1, 3, 7, 99, 12_345, 9.9e9])
def test_axes_reach_as_far_as_what_they_show_with_few_labels(most: float) -> None:
    up = scale(most)
    assert most <= up.most * (1 + 1e-9) <= most * 2.6
    assert 2 <= len(up.ticks) <= 7
    assert all(at == int(at) for at, _ in scale(most, 1).ticks)
    across = times(most)
    assert across.most == most
    assert 1 <= len(across.ticks) <= 7
    assert all(0 <= at <= most * (1 + 1e-9) for at, _ in across.ticks)
