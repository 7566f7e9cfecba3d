"""How far two ways of asking are apart: nothing may hide."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foretell.demo.answers import Difference, compare, gather
from foretell.demo.compare import Measured
from foretell.demo.folder import DemoFolder
from foretell.demo.run import Report

ANSWERS = {"label": np.array(["a", "b", "c"]), "scores": np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])}


def test_equal_answers_have_no_difference() -> None:
    assert compare(gather(ANSWERS), gather(ANSWERS)) == Difference(0.0, 0)


def test_a_list_of_rows_is_the_same_as_columns() -> None:
    rows = [{"label": str(name), "scores": row.tolist()} for name, row in zip(*ANSWERS.values(), strict=True)]
    assert compare(gather(ANSWERS), gather(rows)) == Difference(0.0, 0)


def test_the_largest_of_all_numbers_counts() -> None:
    other = {**ANSWERS, "scores": ANSWERS["scores"] + [[0, 0], [0, -0.25], [0.125, 0]]}
    assert compare(gather(ANSWERS), gather(other)) == Difference(0.25, 0)


def test_other_labels_are_counted_by_row() -> None:
    other = {**ANSWERS, "label": np.array(["a", "x", "y"])}
    assert compare(gather(ANSWERS), gather(other)) == Difference(0.0, 2)


def test_whole_numbers_are_labels() -> None:
    assert compare(gather({"label": np.array([1, 2, 3])}), gather({"label": np.array([1, 2, 4])})).rows == 1


@pytest.mark.parametrize("other", [{"label": ANSWERS["label"]}, {**ANSWERS, "scores": ANSWERS["scores"][:, :1]}])
def test_a_missing_output_makes_every_row_differ(other: dict[str, np.ndarray]) -> None:
    assert compare(gather(ANSWERS), gather(other)) == Difference(math.inf, 3)


def test_nan_is_equal_only_to_nan() -> None:
    numbers = np.array([1.0, np.nan, np.inf])
    assert compare(gather({"x": numbers}), gather({"x": numbers})).largest == 0.0
    assert compare(gather({"x": numbers}), gather({"x": np.array([1.0, 2.0, np.inf])})).largest == math.inf


def test_a_report_with_one_other_label_does_not_agree(tmp_path: Path) -> None:
    good = Measured("m", "way", 1, 1, 1.0, 1.0, 1.0, largest_difference=0.5, labels_differ=0)
    report = Report(DemoFolder(tmp_path), (), {}, (good,), ())
    assert report.agree
    assert not replace(report, measured=(good, replace(good, labels_differ=1))).agree
