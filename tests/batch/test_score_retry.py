"""`foretell retry`: what was put aside is scored once more, and the output is what it would have been."""

from __future__ import annotations

from pathlib import Path

import program
import pyarrow.parquet as pq
import pytest
import scoring

OUTAGE = "models.py:Outage"


def _retry(folder: Path, out: str, code: int) -> str:
    done = program.run("retry", out, cwd=folder)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("out", ["out", "out.parquet"])
def test_rows_that_can_be_answered_now_take_their_place(folder: Path, out: str) -> None:
    scoring.write_files(folder, bad={5: -66.0, 900: -66.0})
    scoring.score(folder, "--key", "id", "-o", out, model=OUTAGE, code=3)
    assert "2 rows have no answer" in _retry(folder, out, 3)
    (folder / "mended").touch()
    assert "1,600 rows, 800 of them now" in _retry(folder, out, 0)
    table = pq.read_table(folder / out) if out.endswith(".parquet") else scoring.table(folder)
    found = scoring.answers(table)
    assert list(found) == list(range(4 * scoring.ROWS))
    assert found == {**scoring.expected(), 5: -66.0 + 5.5, 900: -66.0 + 900.5}
    assert scoring.quarantine(folder) == []
    assert "nothing to do" in _retry(folder, out, 0)
    again = scoring.score(folder, "--key", "id", "-o", out, model=OUTAGE)
    assert "nothing to do" in again.stdout


def test_the_output_is_that_of_a_job_in_which_nothing_failed(tmp_path: Path) -> None:
    calm, mended = scoring.fill(tmp_path / "calm"), scoring.fill(tmp_path / "mended")
    for folder in (calm, mended):
        scoring.write_files(folder, bad={5: -66.0})
    (calm / "mended").touch()
    scoring.score(calm, *scoring.ALONE, "--key", "id", model=OUTAGE)
    scoring.score(mended, *scoring.ALONE, "--key", "id", model=OUTAGE, code=3)
    (mended / "mended").touch()
    _retry(mended, "out", 0)
    assert scoring.parts(mended) == scoring.parts(calm)


def test_as_many_rows_may_fail_as_were_let_through(folder: Path) -> None:
    scoring.write_files(folder, files=1, bad=dict.fromkeys(range(150), -66.0))
    scoring.score(folder, *scoring.ALONE, "--key", "id", "--max-quarantined", "200", model=OUTAGE, code=3)
    assert "150 rows have no answer" in _retry(folder, "out", 3)
    assert len(scoring.quarantine(folder)) == 150


def test_only_the_output_of_a_job_can_be_tried_again(folder: Path) -> None:
    (folder / "other").mkdir()
    assert "no job of foretell has made this" in _retry(folder, "other", 1)


def test_another_model_is_another_job(folder: Path) -> None:
    scoring.write_files(folder, files=1, bad={5: -66.0})
    scoring.score(folder, *scoring.ALONE, "--key", "id", model=OUTAGE, code=3)
    (folder / "models.py").write_text(scoring.MODELS + "\n# another\n")
    assert "the model changed" in _retry(folder, "out", 1)
