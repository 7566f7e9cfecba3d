"""The text that Prometheus scrapes: well formed, and true."""

from __future__ import annotations

import re
from typing import Any

from served_models import Echo, Gate, InlineEcho, Poison
from serving import Running, served
from wire import http, infer, infer_body

from foretell.config import ModelSettings

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def scrape(server: Running) -> tuple[Samples, dict[str, str]]:
    """Samples by name and labels, and the type of each metric. Checks the format (version 0.0.4) line by line."""
    answer = server.ask(http("GET", "/metrics"))
    assert answer.status == 200
    assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.body.decode()
    assert text.endswith("\n")
    samples: Samples = {}
    types: dict[str, str] = {}
    helped: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split(" ")[2])
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"{name} is there twice"
            assert name in helped
            types[name] = kind
            continue
        found = _SAMPLE.fullmatch(line)
        assert found is not None, line
        name, labels, value = found[1], found[2] or "", float(found[3])
        pairs = _LABEL.findall(labels)
        assert "".join(f'{key}="{text}",' for key, text in pairs) == (f"{labels}," if labels else ""), line
        family = re.sub(r"_(bucket|sum|count)$", "", name) if name not in types else name
        assert family in types, line
        assert (name.endswith("_total")) == (types[family] == "counter"), line
        key = (name, frozenset(pairs))
        assert key not in samples, line
        samples[key] = value
    return samples, types


def one(samples: Samples, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    (value,) = [value for (known, pairs), value in samples.items() if known == name and wanted <= pairs]
    return value


def test_counts_agree_with_what_was_sent(serve: Any) -> None:
    server = serve(echo=Echo(), poison=Poison(), **{"mein Modell ö": Echo()})
    for _ in range(5):
        server.ask(infer("echo", [1]))
    for _ in range(2):
        server.ask(infer("echo", [1, 2, 3]))
    for _ in range(3):
        server.ask(http("POST", "/v2/models/echo/infer", b"no JSON"))
    server.ask(http("POST", "/v2/models/echo/infer", infer_body([1]), {"Content-Encoding": "br"}))
    server.ask(infer("poison", [666]))
    server.ask(infer("poison", [float("nan")]))
    server.ask(infer("poison", [1]))
    samples, types = scrape(server)
    assert one(samples, "foretell_requests_total", model="echo", outcome="ok") == 7
    assert one(samples, "foretell_rows_total", model="echo") == 11
    assert one(samples, "foretell_requests_total", model="echo", outcome="invalid_input") == 3
    assert one(samples, "foretell_requests_total", model="echo", outcome="http") == 1
    assert one(samples, "foretell_requests_total", model="poison", outcome="ok") == 1
    assert one(samples, "foretell_requests_total", model="poison", outcome="model_error") == 1
    assert one(samples, "foretell_requests_total", model="poison", outcome="invalid_input") == 1
    assert one(samples, "foretell_requests_total", model="mein Modell ö", version="1", outcome="ok") == 0
    assert one(samples, "foretell_model_ready", model="echo") == 1
    for name in ("queue_duration_seconds", "request_duration_seconds"):
        assert types[f"foretell_{name}"] == "histogram"
        assert one(samples, f"foretell_{name}_count", model="echo") == 7
    assert one(samples, "foretell_inference_duration_seconds_count", model="echo") == 7
    assert one(samples, "foretell_batch_size_rows_sum", model="echo") == 11


def test_replies_are_counted_by_class(serve: Any) -> None:
    server = serve(echo=Echo(), quick=InlineEcho())
    with server.connect() as wire:
        for number in range(10):
            wire.send(infer("quick", [number])).answer()
    server.ask(infer("echo", ["no"]))
    server.ask(http("GET", "/nowhere"))
    samples, types = scrape(server)
    assert types["foretell_http_responses_total"] == "counter"
    found = {kind: one(samples, "foretell_http_responses_total", **{"class": kind}) for kind in ("2xx", "4xx", "5xx")}
    assert found == {"2xx": 10, "4xx": 2, "5xx": 0}
    assert one(samples, "process_cpu_seconds_total") > 0


def test_buckets_are_cumulative(serve: Any) -> None:
    server = serve(echo=Echo())
    for rows in (1, 1, 2, 5, 130, 300):
        server.ask(infer("echo", list(range(rows))))
    samples, types = scrape(server)
    for name in [name for name, kind in types.items() if kind == "histogram"]:
        buckets = sorted(
            (float(dict(pairs)["le"]), value) for (known, pairs), value in samples.items() if known == f"{name}_bucket"
        )
        assert buckets[-1][0] == float("inf")
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert buckets[-1][1] == one(samples, f"{name}_count") > 0
        assert one(samples, f"{name}_sum") >= 0
    sizes = {
        float(dict(pairs)["le"]): value
        for (known, pairs), value in samples.items()
        if known == "foretell_batch_size_rows_bucket"
    }
    assert (sizes[1], sizes[2], sizes[4], sizes[8], sizes[128]) == (2, 3, 3, 4, 4)


def test_gauges_show_the_moment(serve: Any) -> None:
    gate = Gate()
    server = serve(served(gate, "gate", settings=ModelSettings(max_queue_size=3)), max_connections=3)
    with server.connect() as first, server.connect() as second:
        first.send(infer("gate", [1]))
        gate.wait_entered()
        second.send(infer("gate", [2, 3]))
        server.until(lambda: server.engine("gate").waiting_rows == 2)
        samples, _ = scrape(server)
        assert one(samples, "foretell_queue_rows", model="gate") == 2
        assert one(samples, "foretell_http_connections") == 3
        server.until(lambda: server.application.server.connections == 2)
        with server.connect() as third, server.connect() as fourth:
            third.send(infer("gate", [4, 5]))
            assert third.answer().status == 429
            assert fourth.answer().status == 503
        gate.open_gate()
        assert first.answer().status == second.answer().status == 200
        server.until(lambda: server.application.server.connections == 2)
        samples, _ = scrape(server)
        assert one(samples, "foretell_queue_rows", model="gate") == 0
        assert one(samples, "foretell_http_connections_refused_total") == 1
        assert one(samples, "foretell_requests_total", model="gate", outcome="overloaded") == 1


def test_clients_that_left_are_an_outcome(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate)
    with server.connect() as first:
        first.send(infer("gate", [1]))
        gate.wait_entered()
        with server.connect() as gone:
            gone.send(infer("gate", [2]))
            server.until(lambda: server.engine("gate").waiting_rows == 1)
        server.until(lambda: server.application.server.connections == 1)
        gate.open_gate()
        assert first.answer().status == 200
        server.until(lambda: server.engine("gate").waiting_rows == 0)
    samples, _ = scrape(server)
    assert one(samples, "foretell_requests_total", model="gate", outcome="cancelled") == 1
    assert one(samples, "foretell_requests_total", model="gate", outcome="ok") == 1
