"""What the benchmarks of scoring rely on: the peer is right, a wrong output is seen, and nothing is left running."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.models import small
from benchmarks.scoring import data, minilm
from benchmarks.scoring.check import check_rows
from benchmarks.scoring.jobs import run_job
from benchmarks.scoring.rows import PLAIN_PATH, TUNED_PATH

ROWS = 5000


@pytest.fixture(params=[PLAIN_PATH, TUNED_PATH], ids=["plain", "tuned"])
def scored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A model, rows in a file of several row groups, and what a script of two processes made of them."""
    model, out = small(tmp_path), tmp_path / "out"
    source = data.parquet(tmp_path / "rows.parquet", ROWS, group_rows=ROWS // 3)
    run_job([sys.executable, request.param, model, source, out], folder=tmp_path)
    return model, source, out


def test_the_script_scores_each_row_once_and_rightly(scored: tuple[Path, Path, Path]) -> None:
    model, source, out = scored
    assert len(list(out.iterdir())) == 2
    check_rows(model, source, out, ROWS)


def test_rows_that_are_missing_doubled_or_wrong_are_seen(scored: tuple[Path, Path, Path]) -> None:
    model, source, out = scored
    part = out / "part-0.parquet"
    table = pq.ParquetFile(part).read()
    for bad, told in (
        (table.slice(1), "1 rows are missing"),
        (pa.concat_tables([table, table.slice(0, 2)]), "2 doubled"),
        (table.set_column(1, "probabilities_0", pa.array(np.zeros(len(table), np.float32))), "wrong probabilities"),
    ):
        pq.write_table(bad, part)
        with pytest.raises(RuntimeError, match=told):
            check_rows(model, source, out, ROWS)


def test_what_a_command_leaves_running_is_counted_and_ended(tmp_path: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
    job = run_job([sys.executable, "-c", code], folder=tmp_path)
    assert job.left == 1
    with suppress(psutil.NoSuchProcess):  # nobody may have asked yet how it ended
        assert psutil.Process(int(job.said)).status() == psutil.STATUS_ZOMBIE


def test_a_command_is_stopped_where_enough_is_there(tmp_path: Path) -> None:
    code = "import pathlib, time; pathlib.Path('there').touch(); time.sleep(600)"
    job = run_job([sys.executable, "-c", code], folder=tmp_path, until=(tmp_path / "there").exists)
    assert job.took_s < 600


def test_the_end_of_what_a_failed_command_printed_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 3: no such model"):
        run_job([sys.executable, "-c", "print('no such model'); raise SystemExit(3)"], folder=tmp_path)


def test_padding_does_not_change_what_the_encoder_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> dict[str, np.ndarray]:
        return {name: (rng.normal(size=shape) * 0.1).astype(np.float32)}

    made = weights("embeddings.word_embeddings.weight", 50, 384) | weights(
        "embeddings.token_type_embeddings.weight", 2, 384
    )
    made |= weights("embeddings.position_embeddings.weight", 16, 384)
    norms = ["embeddings.LayerNorm"]
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
        for dense in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            made |= weights(f"{name}.{dense}.weight", 384, 384) | weights(f"{name}.{dense}.bias", 384)
        made |= weights(f"{name}.intermediate.dense.weight", 64, 384) | weights(f"{name}.intermediate.dense.bias", 64)
        made |= weights(f"{name}.output.dense.weight", 384, 64) | weights(f"{name}.output.dense.bias", 384)
    for norm in norms:
        made |= {f"{norm}.weight": np.ones(384, np.float32)} | weights(f"{norm}.bias", 384)
    session = onnxruntime.InferenceSession(str(minilm.save(tmp_path / "minilm.onnx", made)))
    ids, mask = np.array([[5, 6, 7, 0, 0], [1, 2, 3, 4, 5]]), np.array([[1, 1, 1, 0, 0], [1] * 5])
    together = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    alone = session.run(None, {"input_ids": ids[:1, :3], "attention_mask": mask[:1, :3]})[0]
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 0.01
