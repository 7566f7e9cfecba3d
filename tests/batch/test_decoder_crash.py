"""A file that ends the process which decodes it is left out, and all others have their answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
from file_sources import encoded, opened, photograph, read, takes
from onnx import helper
from onnx_build import build, value
from program import run

from foretell.errors import RowError

_DECODER = """
import os, signal

def decode_jpeg_header(content):
    if b"ends the process" in content:
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("Pillow shall do it")
"""
"""Stands for a decoder in C that writes where it must not: nobody gets to raise anything."""


def test_the_file_is_found_and_left_out(tmp_path: Path) -> None:
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    onnx.save(build([node], [value("x", ["n", 3, 40, 60])], [value("y", ["n", 3])], opset=13), tmp_path / "mean.onnx")
    (tmp_path / "data").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "simplejpeg.py").write_text(_DECODER)
    for number in range(30):
        more = b"ends the process" if number == 7 else b""
        (tmp_path / "data" / f"{number:02}.jpg").write_bytes(encoded(photograph(number % 2, (60, 40))) + more)
    path = ":".join([str(tmp_path / "code"), *_search()])
    done = run("score", "mean.onnx", "data", "-o", "out", "--json", cwd=tmp_path, env={"PYTHONPATH": path})
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["quarantined"]) == (29, 1)
    names = pq.read_table(tmp_path / "out" / "data")["file"].to_pylist()
    assert names == [f"{number:02}.jpg" for number in range(30) if number != 7]
    lost = [json.loads(line) for line in Path(report["quarantine"]).read_text().splitlines()]
    assert [(each["key"]["file"], each["attempts"]) for each in lost] == [("07.jpg", 2)]
    for each in lost:
        assert each["error"].startswith("the process") and each["error"].endswith("while it decoded this row")


def _search() -> list[str]:
    import os

    return [each for each in os.environ.get("PYTHONPATH", "").split(":") if each]


def test_a_row_that_is_left_out_is_not_decoded(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(encoded(np.full((4, 6, 3), number, np.uint8), "PNG"))
    (tmp_path / "4.png").unlink()
    (tmp_path / "4.png").write_bytes(b"no image")
    for shape in ((4, 6, 3), (None, None, 3)):
        source, told = opened(tmp_path, takes(*shape)), []
        source.decodes = told.append
        source.left_out = {2: RowError("model_error", "it ended the process", 2)}
        made = read(source)
        assert told == [0, 1, 3, 4, 5]
        assert made.bad[2].message == "it ended the process" and sorted(made.bad) == [2, 4]
