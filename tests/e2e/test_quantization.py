"""A server tells what it tried to make a model faster; all of its workers do the same."""

from __future__ import annotations

from pathlib import Path

from onnx_build import iris_onnx, save
from program import Server


def test_each_worker_tells_the_same(tmp_path: Path) -> None:
    save(iris_onnx(zipmap=False), tmp_path, "iris.onnx")
    flags = ("--optimizations", "quantization", "--cache-dir", tmp_path / "cache", "--workers", 2)
    server = Server("iris.onnx", *flags, cwd=tmp_path)
    try:
        told = [line.partition(": ")[2] for line in server.said if "quantization" in line]
        assert len(told) == 2
        assert told[0] == told[1]
        assert told[0].startswith("iris version 1: quantization is not kept: ")
        server.stop()
        assert server.end() == 0
    finally:
        server.kill()
