"""The prediction log of several processes, and what it is for: scoring the same rows again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from program import WAIT_S, Server, run
from wire import Wire, http

_ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def request() -> bytes:
    given = {"name": "X", "shape": [2, 4], "datatype": "FP32", "data": _ROWS}
    return http("POST", "/v2/models/iris/infer", json.dumps({"inputs": [given]}).encode())


def test_each_worker_has_its_file_and_its_rows_can_be_scored_again(serve: Callable[..., Server], folder: Path) -> None:
    (folder / "log").mkdir()
    server = serve("iris.onnx", "--workers", "2", "--prediction-log", "log")
    for _ in range(3):
        wires = [Wire(server.port) for _ in range(4)]  # at the same time, so that both workers get some
        answers = [wire.send(request()).answer() for wire in wires]
        assert {answer.status for answer in answers} == {200}
        for wire in wires:
            wire.close()
    server.stop()
    assert server.process.wait(WAIT_S) == 0
    files = sorted(path.name for path in (folder / "log").iterdir())
    assert files == ["predictions.worker0.jsonl", "predictions.worker1.jsonl"]
    lines = [json.loads(line) for name in files for line in (folder / "log" / name).read_text().splitlines()]
    assert len(lines) == 24 and {line["status"] for line in lines} == {200}
    done = run("score", "iris.onnx", "log", "-o", "again.jsonl", "--map", "X=inputs.X", "--key", "request_id",
               "--key", "row", cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    scored = (folder / "again.jsonl").read_text().splitlines()
    again = {(line["request_id"], line["row"]): line for line in map(json.loads, scored)}
    assert len(again) == 24
    for line in lines:
        row = again[line["request_id"], line["row"]]
        assert row["label"] == line["outputs.label"]
        assert [round(p, 6) for p in row["probabilities"]] == [round(p, 6) for p in line["outputs.probabilities"]]
