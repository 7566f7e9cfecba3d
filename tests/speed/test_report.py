"""What a run says of itself: ratios round by round, goals that were missed, and the page it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import page
from benchmarks.__main__ import main
from benchmarks.report import Goal, Report, Row
from benchmarks.run import Run, ratios


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    report = Report()
    report.title("case", "two servers")
    report.add(Row("a|b", "ours", [3.0, 1.0, 2.0], "requests/s", goals=[Goal.at_least(2, 1)], more={"cpu_us": 7.0}))
    report.add(Row("a|b", "bare", [4.0, 4.0, 4.0], "requests/s", ratios=ratios([3, 1, 2], [4, 4, 4]),
                   goals=[Goal.at_least(0.5, 0.65, " of this")]))  # fmt: skip
    report.note("mosec cannot be installed")
    return report


def test_servers_are_measured_in_turns(report: Report, tmp_path: Path) -> None:
    order: list[str] = []
    run = Run(report, tmp_path, rounds=2)
    run.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")})
    assert order == ["a", "b", "a", "b"]


def test_a_page_keeps_its_words_and_gets_the_figures_with_their_spread_and_what_was_missed(
    report: Report, tmp_path: Path
) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}\n\n### case\n\nold\n{page.END}\nafter\n")
    page.write(path, report, "case", 60, ["case"])
    text = path.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| a\\|b | ours | 2.00 (1.00 to 3.00) requests/s |  |  | 7.00 |  | >= 1 |  |" in text
    assert "| 0.50 (0.25 to 0.75) | >= 0.65 of this (**missed**) |" in text
    assert "1 of 2 goals were reached" in text
    assert "- a|b, bare: wanted >= 0.65 of this, got 0.50" in text
    assert "- mosec cannot be installed" in text


def test_a_case_gets_its_place_on_the_page_and_leaves_the_others_as_they_are(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    others = ("### first\n\none\n\n- two\n", "### last\n\nthree\n")
    path.write_text(f"{page.BEGIN}\n\n{others[0]}\n{others[1]}\n{page.END}\n")
    for _ in range(2):
        page.write(path, report, "case", 60, ["first", "case", "last"])
    text = path.read_text()
    assert all(text.count(each) == 1 for each in others)
    assert [line for line in text.splitlines() if line.startswith("###")] == ["### first", "### case", "### last"]


def test_a_page_without_a_place_for_figures_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.md"
    path.write_text("words\n")
    with pytest.raises(SystemExit):
        main(["--page", str(path)])
    assert "does not have the marks" in capsys.readouterr().err


def test_an_unknown_case_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["online.nothing"])
    assert "online.tiny" in capsys.readouterr().err
