"""What the guide to object storage shows for reading an output runs, against a server on this machine."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import buckets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3_server import S3Server

GUIDE = Path(__file__).parents[2] / "docs/guides/scoring-objects.md"


def test_an_output_is_read_by_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"^```py\n(.*?)^```", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    with S3Server("bucket") as s3:
        buckets.use(monkeypatch, s3)
        files = []
        for number in range(2):
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table({"id": [number, number + 10]}), sink)
            files.append(f"_foretell/0123/data/part-{number:06}-abc.parquet")
            s3.put("bucket", f"scores/{files[-1]}", sink.getvalue().to_pybytes())
        s3.put("bucket", "scores/manifest.json", json.dumps({"parts": [{"file": file} for file in files]}).encode())
        (tmp_path / "block.py").write_text(block, "utf-8")
        scores = runpy.run_path(str(tmp_path / "block.py"))["scores"]
    assert scores["id"].to_pylist() == [0, 10, 1, 11]
