"""Class of holes: what belongs to one caller reaches another. Callers with tokens of their own ask at the same time, on
the same connections and in the same batches; nothing of one is in an answer, a cache entry or a log line of another."""

from __future__ import annotations

import gzip
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from routes import ROUTES
from served_models import Gate, InlineEcho, Params
from serving import Running, served
from token_files import add, bearer
from wire import Answer, Wire, http

from foretell.catalog import LiveCatalog
from foretell.columns import Batch, Bytes, Dense
from foretell.config import ModelSettings, ServerSettings
from foretell.errors import RowError
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

CALLERS = 8
ROUNDS = 60


class Told(Model):
    """Answers each text; refuses those with "bad" in them, and repeats them in the reason."""

    spec = ModelSpec(inputs=(TensorSpec("x", DataType.BYTES, ()),), outputs=(TensorSpec("y", DataType.BYTES, ()),))

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        column = batch.columns["x"]
        assert isinstance(column, Bytes)
        errors = {row: RowError("invalid_input", f"no {item!r}")
                  for row, item in enumerate(column.items()) if b"bad" in item}  # fmt: skip
        return Batch({"y": column}, batch.rows, errors)


class Sum(Model):
    """Fails for the whole batch where one of its rows is a certain one."""

    spec = ModelSpec(inputs=(TensorSpec("x", DataType.INT64, (2,)),), outputs=(TensorSpec("y", DataType.INT64, ()),))

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        x = batch.dense("x")
        if (x[:, 1] == 666).any():
            raise ValueError(f"these are wrong: {x[x[:, 1] == 666].tolist()}")
        return Batch({"y": Dense(np.asarray(x.sum(axis=1)))}, batch.rows)


class Caller:
    """Everything it sends has its mark in it, and no answer may have another's."""

    def __init__(self, server: Running, number: int, secret: str) -> None:
        self.server, self.number, self.headers = server, number, bearer(secret)
        self.mark = f"caller{number}mark"
        self.asked = 0
        self.random = random.Random(number)

    def run(self) -> list[str]:
        """The ids of its requests."""
        with self.server.connect() as wire:
            return [self.ask(wire, turn) for turn in range(ROUNDS)]

    def ask(self, wire: Wire, turn: int) -> str:
        request_id = f"{self.mark}-{turn}" if self.random.random() < 0.7 else ""
        headers: dict[str, object] = {**self.headers, "User-Agent": self.mark}
        if request_id:
            headers["X-Request-Id"] = request_id
        trace = f"{self.number:032x}"
        if turn % 3 == 0:
            headers["Traceparent"] = f"00-{trace[:-1]}f-00f067aa0ba902b7-01"
        if turn % 4 == 0:
            headers["Foretell-Explain"] = "true"
        if turn % 5 == 0:
            headers["Accept-Encoding"] = "gzip"
        kind = self.random.choice(("told", "bad", "sum", "poison", "params", "unknown", "long"))
        path, body = self.body(kind, turn)
        if turn % 7 == 0:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        answer = wire.send(http("POST", path, body, headers)).answer()
        self.check(answer, kind, turn)
        if request_id:
            assert answer.header("x-request-id") == request_id
        span = answer.header("traceresponse")
        assert (span is not None and trace[:-1] in span) == (turn % 3 == 0)
        assert (answer.header("server-timing") is None) or turn % 4 == 0
        return answer.header("x-request-id") or ""

    def body(self, kind: str, turn: int) -> tuple[str, bytes]:
        text = f"{self.mark} {'bad' if kind == 'bad' else ''} {turn % 5}" + "-" * (5000 if kind == "long" else 0)
        x: dict[str, Any] = {"name": "x", "shape": [1], "datatype": "BYTES", "data": [text]}
        more: dict[str, Any] = {"id": f"{self.mark}-{turn}"}
        if kind in ("sum", "poison"):
            x = {"name": "x", "shape": [1, 2], "datatype": "INT64", "data": [self.number * 10**6, 1]}
            x["data"][1] = 666 if kind == "poison" else turn
        if kind == "params":
            x = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}
            more["parameters"] = {"mark": self.mark, f"{self.mark}": turn}
        model = {"sum": "sum", "poison": "sum", "params": "params", "unknown": f"no{self.mark}"}.get(kind, "told")
        return f"/v2/models/{model}/infer", json.dumps({**more, "inputs": [x]}).encode()

    def check(self, answer: Answer, kind: str, turn: int) -> None:
        body = gzip.decompress(answer.body) if answer.header("content-encoding") == "gzip" else answer.body
        shown = body.decode() + str(answer.headers)
        others = [f"caller{number}mark" for number in range(CALLERS) if number != self.number]
        assert not any(other in shown for other in others), (kind, shown)
        found = json.loads(body)
        if answer.status == 200:
            assert found["id"] == f"{self.mark}-{turn}"
            (data,) = found["outputs"][0]["data"]
            if kind == "sum":
                assert data == self.number * 10**6 + turn
            elif kind == "params":
                assert json.loads(data)["mark"] == self.mark
            else:
                assert self.mark in data
        elif kind == "poison":
            assert answer.status == 500
            assert not any(f"{number}000000" in found["error"] for number in range(CALLERS) if number != self.number)
        else:
            assert (kind, answer.status) in {("bad", 400), ("unknown", 404)}, answer
            assert self.mark in found["error"]


@pytest.fixture
def tenants(tmp_path: Path) -> Any:
    """A server with caches, a log and short queues of nothing, and a token for each caller."""
    file = tmp_path / "tokens.toml"
    secrets = [add(file, f"caller{number}mark", "infer") for number in range(CALLERS)]
    kept = ModelSettings(cache_size=1000, max_batch_size=16)
    models = [served(Told(), "told", settings=kept), served(Sum(), "sum", settings=kept),
              served(Params(), "params", settings=kept)]  # fmt: skip
    log = tmp_path / "log"
    settings = ServerSettings(http_port=0, tokens_file=str(file), access_log="json", access_log_file=str(log))
    server = Running(LiveCatalog(models), settings, uvloop.new_event_loop)
    yield server, secrets, log
    if server._thread.is_alive():
        server.close()
    assert server.problems == []


def test_nothing_of_one_caller_reaches_another(tenants: Any) -> None:
    server, secrets, log = tenants
    callers = [Caller(server, number, secret) for number, secret in enumerate(secrets)]
    with ThreadPoolExecutor(CALLERS) as pool:
        ids = list(pool.map(Caller.run, callers))
    server.close()
    assert len({each for own in ids for each in own}) == CALLERS * ROUNDS
    owner = {each: caller.mark for caller, own in zip(callers, ids, strict=True) for each in own}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == CALLERS * ROUNDS
    for line in lines:
        assert line["user_agent"] == owner[line["request_id"]]
        text = json.dumps(line)
        assert sum(caller.mark in text for caller in callers) == 1
        assert not any(secret in text for secret in secrets)
        if "trace_id" in line:
            number = int(owner[line["request_id"]].removeprefix("caller").removesuffix("mark"))
            assert line["trace_id"].startswith(f"{number:032x}"[:-1])


def test_a_caller_that_leaves_leaves_nothing_for_the_next() -> None:
    """The answer that nobody took is nobody's, whoever connects next."""
    gate = Gate()
    server = Running(LiveCatalog([served(gate, "gate")]), ServerSettings(http_port=0), uvloop.new_event_loop)
    body = '{"id":"%s","inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[%d]}]}'
    with server.connect() as gone:
        gone.send(http("POST", "/v2/models/gate/infer", (body % ("mine", 1)).encode()))
        gate.wait_entered()
    waiting = [server.connect() for _ in range(20)]
    for number, wire in enumerate(waiting):
        wire.send(http("POST", "/v2/models/gate/infer", (body % (f"own{number}", 100 + number)).encode()))
    gate.open_gate()
    for number, wire in enumerate(waiting):
        answer = wire.answer().json
        assert (answer["id"], answer["outputs"][0]["data"]) == (f"own{number}", [100 + number])
        wire.close()
    server.close()


@pytest.mark.parametrize("request_line", ROUTES)
def test_a_head_that_was_remembered_brings_nothing_of_who_sent_it(server: Running, request_line: str) -> None:
    """On every route: the same head from many callers at once, which differ in what makes them them."""
    method, path = request_line.split()
    body = b"{}" if method == "POST" else b""
    failures: list[object] = []

    def call(number: int) -> None:
        try:
            with server.connect() as wire:
                for turn in range(12):
                    own = f"caller{number}mark-{turn}"
                    trace = f"{number + 1:031x}f"
                    headers = {"X-Request-Id": own, "Traceparent": f"00-{trace}-00f067aa0ba902b7-01", "Cookie": own}
                    answer = wire.send(http(method, path, body, headers if turn % 3 else {})).answer()
                    if turn % 3:
                        assert answer.header("x-request-id") == own
                        assert (answer.header("traceresponse") or "").split("-")[1] == trace
                    else:
                        assert "mark" not in (answer.header("x-request-id") or "")
                        assert answer.header("traceresponse") is None
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_a_cached_answer_has_the_id_of_who_asks_now() -> None:
    kept = ModelSettings(cache_size=100)
    models = [served(InlineEcho(), "echo", settings=kept)]
    server = Running(LiveCatalog(models), ServerSettings(http_port=0), uvloop.new_event_loop)
    for number in range(5):
        body = json.dumps({"id": f"own{number}", "inputs": [
            {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [7]}]}).encode()  # fmt: skip
        answer = server.ask(http("POST", "/v2/models/echo/infer", body, {"X-Request-Id": f"call{number}"}))
        assert answer.json["id"] == f"own{number}"
        assert answer.header("x-request-id") == f"call{number}"
        without = server.ask(http("POST", "/v2/models/echo/infer", body.replace(b'"id"', b'"no"')))
        assert "id" not in without.json and without.header("x-request-id") != f"call{number}"
    server.close()
