"""What was asked and what was answered stands in the prediction log, as it was."""

from __future__ import annotations

import gzip
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_requests import patterns, teach
from oip_requests import binary, tensor
from served_models import Echo, Gate, InlineEcho, Poison, Untold
from serving import Running, served
from stream_client import Events, ask_stream
from streaming_models import Failing, Streaming
from wire import http, infer, infer_body, values

from foretell.columns import Batch, Dense
from foretell.config import ModelSettings, ServerSettings, settings
from foretell.engine.work import Work
from foretell.errors import InvalidSetting, NotReady
from foretell.model import Context
from foretell.serve.model_door import InferWork
from foretell.serve.prediction_log import prediction_file
from foretell.serve.watched_door import WatchedDoor
from foretell.types import DataType

Serve = Callable[..., Running]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def lines(server: Running, path: Path) -> list[dict[str, Any]]:
    """All that is written in the end."""
    server.close()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_who_asked_what_and_what_came_of_it(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(echo=Echo(), prediction_log=str(path))
    headers = {"X-Request-Id": "mine", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    assert values(server.ask(infer("echo", [1.5], headers))) == [1.5]
    (line,) = lines(server, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {name: value for name, value in line.items() if not name.endswith(("_ms", "time"))} == {
        "model": "echo", "version": "1", "request_id": "mine", "trace_id": TRACE, "parent_id": PARENT, "status": 200,
        "rows": 1, "row": 0, "inputs.x": [1.5], "outputs.y": [1.5],
        "tensors": {"inputs.x": {"datatype": "FP32", "shape": [1, 1]}, "outputs.y": {"datatype": "FP32",
                                                                                     "shape": [1, 1]}},
    }  # fmt: skip
    assert line["time"].endswith("Z") and line["total_ms"] >= line["model_ms"] >= 0 <= line["queue_ms"]


@pytest.mark.parametrize("model", [Echo, InlineEcho])
def test_each_request_is_there_with_its_own_values_and_the_id_that_its_reply_has(
    serve: Serve, tmp_path: Path, model: type[Echo]
) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(echo=model(), prediction_log=str(path))
    answers = []
    with server.connect() as wire:
        teach(wire, infer("echo", [1]), server)
        assert len(patterns(server)), "those of the usual kind are here, too"
        for number in range(2, 40):
            answers.append(wire.send(infer("echo", [number, -number])).answer())
        wire.send(b"".join(infer("echo", [number, -number]) for number in range(40, 120)))
        answers += [wire.answer() for _ in range(80)]
    found = [line for line in lines(server, path) if line["rows"] == 2]
    for number, answer in enumerate(answers, 2):
        two = [line for line in found if line["request_id"] == answer.header("x-request-id")]
        assert [(line["row"], line["inputs.x"], line["outputs.y"]) for line in two] == [
            (0, [number], [number]), (1, [-number], [-number])
        ], number  # fmt: skip
    assert len(found) == 2 * len(answers)


@pytest.mark.parametrize("count", [1000, 40_000, 100_000])
def test_large_binary_bodies_in_a_row_are_told_as_they_came(serve: Serve, tmp_path: Path, count: int) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(echo=InlineEcho(), prediction_log=str(path), prediction_log_record_bytes=64 << 20)
    rows = np.random.default_rng(count).integers(0, 100, (4, 1, count)).astype(np.float32)
    requests = []
    for number, row in enumerate(rows):
        given = {"name": "x", "shape": row.shape, "datatype": "FP32", "parameters": {"binary_data_size": row.nbytes}}
        body, headers = binary({"inputs": [given]}, row.tobytes())
        requests.append(http("POST", "/v2/models/echo/infer", body, {**headers, "X-Request-Id": str(number)}))
    with server.connect() as wire:
        wire.send(b"".join(requests))
        assert [wire.answer().status for _ in rows] == [200] * 4
    for line in lines(server, path):
        wanted = rows[int(line["request_id"])][0].tolist()
        assert line["inputs.x"] == wanted and line["outputs.y"] == wanted


class Reusing(Echo):
    """Answers in memory of its own, again and again."""

    native = True

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        self.room: np.ndarray[Any, Any] = getattr(self, "room", np.zeros((1, 1), np.float32))
        self.room[:] = batch.dense("x")
        return Batch({"y": Dense(self.room)}, 1)


def test_a_model_may_use_its_memory_again(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(echo=Reusing(), prediction_log=str(path))
    with server.connect() as wire:
        for number in range(50):
            wire.send(infer("echo", [number])).answer()
    assert [line["outputs.y"] for line in lines(server, path)] == [[number] for number in range(50)]


def test_texts_other_bytes_and_numbers_that_json_lacks(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(any=Untold(), prediction_log=str(path))
    numbers = np.array([[1, np.nan], [-np.inf, np.inf]], np.float32)
    halves = np.array([1.5, 1.0], np.float16)
    texts = b"\x02\x00\x00\x00\xff\x00\x03\x00\x00\x00abc"
    given = [
        {"name": name, "shape": shape, "datatype": kind, "parameters": {"binary_data_size": size}}
        for name, shape, kind, size in (
            ("n", [2, 2], "FP32", 16), ("t", [2], "BYTES", len(texts)), ("h", [2], "FP16", 4), ("b", [2], "BF16", 4),
        )
    ]  # fmt: skip
    head = {"inputs": given, "parameters": {"binary_data_output": True, "mood": "good"}}
    body, headers = binary(head, numbers.tobytes(), texts, halves.tobytes(), b"\xc0\x3f\x80\xff")
    assert server.ask(http("POST", "/v2/models/any/infer", body, headers)).status == 200
    first, second = lines(server, path)
    assert (first["inputs.n"], first["not_finite"]) == (
        [1, None],
        {"inputs.n": {"1": "NaN"}, "outputs.n": {"1": "NaN"}},
    )
    assert second["not_finite"]["inputs.n"] == {"0": "-Infinity", "1": "Infinity"}
    assert (first["inputs.t"], second["outputs.t"]) == ({"base64": "/wA="}, "abc")
    assert (first["inputs.h"], first["inputs.b"], second["not_finite"]["inputs.b"]) == (1.5, 1.5, {"0": "-Infinity"})
    assert first["parameters"] == {"mood": "good"}


def test_what_was_refused_or_has_failed_says_why(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    gate = Gate()
    server = serve(
        served(gate, "gate", settings=ModelSettings(max_queue_size=1, max_batch_size=1)),
        poison=Poison(), prediction_log=str(path),
    )  # fmt: skip
    assert server.ask(infer("poison", [666])).status == 500
    assert server.ask(infer("poison", ["no"])).status == 400
    assert server.ask(infer("poison", [1, "NaN"])).status == 400
    assert values(server.ask(infer("poison", [1], {"Foretell-Explain": "true"}))) == [1]
    packed = gzip.compress(infer_body([2]))
    assert server.ask(http("POST", "/v2/models/poison/infer", packed, {"Content-Encoding": "gzip"})).status == 200
    with server.connect() as first, server.connect() as second, server.connect() as gone:
        first.send(infer("gate", [1]))
        gate.wait_entered()
        gone.send(infer("gate", [2]))
        server.until(lambda: server.engine("gate").waiting_rows == 1)
        assert second.send(infer("gate", [3])).answer().status == 429
    server.until(lambda: server.application.server.connections == 0)
    gate.open_gate()
    found = lines(server, path)
    told = [(line["status"], line.get("error"), line.get("inputs.x"), line.get("outputs.y")) for line in found]
    assert told[:6] == [
        (500, "model_error", [666], None), (400, "invalid_input", None, None), (400, "invalid_input", None, None),
        (200, None, [1], [1]), (200, None, [2], [2]), (429, "overloaded", [3], None),
    ]  # fmt: skip
    assert sorted(told[6:]) == [(499, "cancelled", [1], None), (499, "cancelled", [2], None)]


def test_what_is_too_large_and_what_is_excluded_has_no_values(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(
        echo=Echo(), any=Untold(), prediction_log=str(path), prediction_log_record_bytes=1024,
        prediction_log_exclude=("secret",),
    )  # fmt: skip
    for count in (1, 100, 50_000):
        server.ask(infer("echo", [0.125] * count, shape=[1, count]))
    body = json.dumps({"inputs": [tensor(name="secret"), tensor(name="open")]}).encode()
    server.ask(http("POST", "/v2/models/any/infer", body))
    server.until(lambda: "foretell_prediction_log_records_total 4" in server.application.metrics(), 0.001)
    assert "foretell_prediction_log_without_values_total 2" in server.application.metrics()
    small, large, huge, *rows = lines(server, path)
    assert "left_out" not in small and small["inputs.x"] == [0.125]
    for line in (large, huge):
        assert line["left_out"] == "too large" and "inputs.x" not in line and "outputs.y" not in line
    assert large["tensors"]["outputs.y"] == {"datatype": "FP32", "shape": [1, 100]}
    assert rows[1]["inputs.open"] == [3, 4] and rows[1]["excluded"] == ["inputs.secret", "outputs.secret"]
    assert "inputs.secret" not in rows[0] and "outputs.secret" not in rows[0]
    assert rows[0]["tensors"]["inputs.secret"] == {"datatype": "FP32", "shape": [2, 2]}


def test_a_sample_is_about_as_large_as_it_should_be(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(echo=InlineEcho(), prediction_log=str(path), prediction_log_sample=0.25)
    with server.connect() as wire:
        for _ in range(10):
            wire.send(b"".join(infer("echo", [number]) for number in range(100)))
            assert [values(wire.answer()) for _ in range(100)] == [[number] for number in range(100)]
    assert 100 < len(lines(server, path)) < 450, "250 of 1,000, which 10 standard deviations are 137 from"


def test_streams_tell_what_was_asked_and_how_they_ended(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(count=Streaming(), bad=Failing(), prediction_log=str(path))
    for model, given, verb in (
        ("count", {"x": 3}, "generate_stream"), ("count", {"x": 1}, "generate"), ("bad", {"x": 2}, "generate_stream"),
        ("count", {"no": 1}, "generate"),
    ):  # fmt: skip
        with server.connect() as wire:
            wire.send(ask_stream(model, given, verb))
            if verb == "generate":
                wire.answer()
            else:
                Events(wire).all()
    found = lines(server, path)
    told = [(line["status"], line.get("error"), line.get("inputs.x"), line.get("items")) for line in found]
    assert told[:2] == [(200, None, [3], 3), (200, None, [1], 1)]
    assert told[2][1:3] == ("model_error", [2]) and told[3][:2] == (400, "invalid_input")
    assert "outputs.y" not in found[0]


def test_an_answer_of_the_cache_is_one_too(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(served(Echo(), "echo", settings=ModelSettings(cache_size=10)), prediction_log=str(path))
    for _ in range(2):
        assert values(server.ask(infer("echo", [7]))) == [7]
    first, second = lines(server, path)
    assert first["outputs.y"] == second["outputs.y"] == [7] and "model_ms" not in second


def test_a_folder_and_each_process_have_their_file(tmp_path: Path) -> None:
    assert prediction_file(str(tmp_path), None) == str(tmp_path / "predictions.jsonl")
    assert prediction_file("new/", 1) == "new/predictions.worker1.jsonl"
    assert prediction_file("here.jsonl", None) == "here.jsonl"


def test_without_a_log_the_door_is_the_usual_one(serve: Serve) -> None:
    server = serve(echo=Echo())
    server.ask(infer("echo", [1]))
    assert {type(door).__name__ for door in server.application._doors.values()} == {"ModelDoor"}
    assert "prediction_log" not in server.application.metrics()


def test_settings_that_would_do_nothing_and_files_that_cannot_be_are_refused(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="prediction_log_sample would do nothing"):
        settings(ServerSettings, prediction_log_sample=0.1)
    with pytest.raises(InvalidSetting, match="prediction_log_sample is out of range"):
        settings(ServerSettings, prediction_log="log", prediction_log_sample=1.5)
    with pytest.raises(InvalidSetting, match="cannot be written"):
        serve(echo=Echo(), prediction_log=str(tmp_path / "no" / "log"))
    serve(echo=Echo(), prediction_log=str(tmp_path / "log"))
    with pytest.raises(InvalidSetting, match="another process writes it"):
        serve(echo=Echo(), prediction_log=str(tmp_path / "log"))


def test_bytes_of_a_row_keep_their_shape(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(echo=Echo(DataType.BYTES, (2, 2)), prediction_log=str(path))
    data = ["a", "b", "c", "d"]
    assert values(server.ask(infer("echo", data, shape=[1, 2, 2], datatype="BYTES"))) == data
    (line,) = lines(server, path)
    assert line["inputs.x"] == [["a", "b"], ["c", "d"]] == line["outputs.y"]


def test_a_sink_that_blocks_for_ever_leaves_answers_alone(serve: Serve, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    server = serve(
        echo=InlineEcho(), prediction_log=str(tmp_path / "pipe"), prediction_log_record_bytes=64 << 20,
        drain_timeout_s=0.2,
    )  # fmt: skip
    log = server.application.prediction_log
    assert log is not None
    row = np.zeros((1, 1 << 18), np.float32)  # 2 MiB with its answer: the queue is full after some
    given = {"name": "x", "shape": row.shape, "datatype": "FP32", "parameters": {"binary_data_size": row.nbytes}}
    body, headers = binary({"inputs": [given], "parameters": {"binary_data_output": True}}, row.tobytes())
    large = http("POST", "/v2/models/echo/infer", body, headers)
    with server.connect() as wire:
        for _ in range(60):
            assert wire.send(large).answer().body.endswith(row.tobytes())
        for number in range(300):
            assert values(wire.send(infer("echo", [number])).answer()) == [number]
    assert log.records.dropped["queue_full"] > 0 and log.records.written == 0
    metrics = server.ask(http("GET", "/metrics")).body.decode()
    assert (
        f'foretell_prediction_log_dropped_total{{reason="queue_full"}} {log.records.dropped["queue_full"]}' in metrics
    )
    server.close()
    assert log.records.written + sum(log.records.dropped.values()) == 360, log.records.dropped
    os.close(reader)


def test_what_the_engine_did_not_even_take_has_an_answer_and_a_line(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    server = serve(echo=InlineEcho(), prediction_log=str(path))

    def refuse(work: Work) -> None:
        raise NotReady("the engine is closed")

    with server.connect() as wire:
        teach(wire, infer("echo", [1]), server)
        (door,) = server.application._doors.values()
        assert isinstance(door, WatchedDoor)
        door._to_engine = door._alone_to_engine = refuse
        assert wire.send(infer("echo", [2])).answer().status == 503
        assert wire.send(infer("echo", [3, 4])).answer().status == 503
    found = lines(server, path)
    assert [(line["status"], line["inputs.x"]) for line in found[-3:]] == [(503, [2]), (503, [3]), (503, [4])]


def test_a_request_that_the_full_log_loses_goes_its_usual_way(serve: Serve, tmp_path: Path) -> None:
    server = serve(echo=InlineEcho(), prediction_log=str(tmp_path / "log.jsonl"))
    log = server.application.prediction_log
    assert log is not None
    log.records._most_bytes = 0
    door = server.on_loop(lambda: server.application._door(server.catalog.resolve("echo"), None))
    assert door.make(plain=True) is InferWork, "nothing is copied for it"
    assert values(server.ask(infer("echo", [1]))) == [1]
    server.close()
    assert log.records.dropped["queue_full"] == 2 and not log.records.written
