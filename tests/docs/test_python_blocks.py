"""The Python that the documents show runs as it stands, and prints what its comments say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import onnx_build
import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("examples/**/README.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PRINTED = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)

BLOCKS = [
    pytest.param(block, id=f"{document.relative_to(ROOT)}:{number}")
    for document in DOCUMENTS
    for number, block in enumerate(BLOCK.findall(document.read_text("utf-8")), 1)
]


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("block", BLOCKS)
def test_it_runs_as_it_stands(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx_build.save(onnx_build.iris_onnx(zipmap=False), tmp_path, "model.onnx")
    (tmp_path / "block.py").write_text(block, "utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("block.py", run_name="__main__")
    assert capsys.readouterr().out.splitlines() == PRINTED.findall(block)
