"""Whatever comes in, each request ends in one well-formed reply or a close, and the next client is served."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from served_models import Echo, InlineEcho, Pair, Scores, Untold
from serving import Running, served
from wire import Answer, Wire, chunked, http, infer, infer_body, values

from foretell.catalog import StaticCatalog
from foretell.config import ServerSettings
from foretell.types import DataType

FRAMED = {200, 204, 400, 404, 405, 413, 421, 501}
ANY = FRAMED | {408, 431}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """One server for all examples: what one does to it, the next would see."""
    models = {
        "echo": Echo(),
        "inline": InlineEcho(None, None),
        "text": Echo(DataType.BYTES, None),
        "bool": InlineEcho(DataType.BOOL, (2,)),
        "pair": Pair(),
        "scores": Scores(),
        "untold": Untold(),
    }
    catalog = StaticCatalog([served(model, name) for name, model in models.items()])
    settings = ServerSettings(http_port=0, max_body_bytes=100_000, max_header_bytes=4096, max_elements=10_000)
    running = Running(catalog, settings, uvloop.new_event_loop)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _still_well(server: Running) -> Iterator[None]:
    yield
    assert server.problems == []
    for model in ("echo", "inline"):
        assert values(server.ask(infer(model, [7]))) == [7]
        assert server.engine(model).waiting_rows == 0


def replies(wire: Wire, heads: bool = False) -> list[Answer]:
    """Every reply until the server closes; fails where bytes are left that are no reply."""
    found = []
    while says_more(wire):
        found.append(wire.answer(head=heads))
    return found


def says_more(wire: Wire) -> bool:
    """Waits for the next byte. A reset is a close too: what came after the last request was not read."""
    try:
        return bool(wire._file.peek(1))  # type: ignore[attr-defined]
    except ConnectionResetError:
        return False


def talk(server: Running, *pieces: bytes) -> list[Answer]:
    with server.connect() as wire:
        with contextlib.suppress(OSError):  # it may be refused before it has said everything
            wire.trickle(pieces).finish()
        return replies(wire)


def check(answers: list[Answer], allowed: set[int]) -> None:
    for answer in answers:
        assert answer.status in allowed, answer
        if answer.status >= 400:
            assert answer.error


BINARY = json.dumps(
    {
        "inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}}],
        "parameters": {"binary_data_output": True, "timeout": 10**9},
    }
).encode()
PAIR = json.dumps(
    {
        "id": "5",
        "inputs": [
            {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [[1.5, -2e3]]},
            {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["\u00fc\\n"]},
        ],
        "outputs": [{"name": "text", "parameters": {"binary_data": True}}, {"name": "double"}],
    }
).encode()
CLASSES = json.dumps(
    {
        "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}],
        "outputs": [{"name": "scores", "parameters": {"classification": 2}}],
    }
).encode()
GOOD = [
    infer("echo", [1, 2, 3]),
    infer("inline", [1.5]),
    infer("untold", [float("nan")]),
    http(
        "POST", "/v2/models/echo/infer", BINARY + np.arange(4, dtype="<f4").tobytes(),
        {"Inference-Header-Content-Length": len(BINARY)},
    ),
    http("POST", "/v2/models/pair/infer", PAIR, {"Accept-Encoding": "gzip"}),
    http("POST", "/v2/models/scores/infer", CLASSES),
    http("POST", "/v2/models/bool/infer", b"\x00\x01", {"Inference-Header-Content-Length": 0}),
    http("POST", "/v2/models/echo/infer", zlib.compress(infer_body([1])), {"Content-Encoding": "deflate"}),
    chunked("/v2/models/echo/infer", [infer_body([1])[:9], infer_body([1])[9:]], b"X: y\r\n"),
    http("GET", "/v2/models/echo/versions/1/config"),
    http("GET", "/metrics", headers={"Connection": "keep-alive"}),
    http("OPTIONS", "/v2/models/echo/infer"),
]  # fmt: skip


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_random_bytes(server: Running, pieces: list[bytes]) -> None:
    check(talk(server, *pieces), ANY)


@st.composite
def mutated(draw: st.DrawFn) -> list[bytes]:
    """A few good requests in a row, some bytes of which were removed, doubled, replaced or added."""
    data = b"".join(draw(st.lists(st.sampled_from(GOOD), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        kind = draw(st.sampled_from(["remove", "double", "replace", "add"]))
        if kind == "remove":
            data = data[:at] + data[at + length :]
        elif kind == "double":
            data = data[: at + length] + data[at:]
        else:
            new = draw(
                st.binary(max_size=8) | st.sampled_from([b"\r\n", b"\n", b"0", b"9" * 20, b",", b"[", b'"', b"-"])
            )
            data = data[:at] + new + data[at + (length if kind == "replace" else 0) :]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@settings(max_examples=300)
@given(mutated())
def test_damaged_requests(server: Running, pieces: list[bytes]) -> None:
    if b"HEAD" in b"".join(pieces):
        return  # the reader of replies would have to know which of them answers it
    check(talk(server, *pieces), ANY)


NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([0, 1, 2, 2**31, 2**63, -1, 1e308])
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=5)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
SHAPES = st.lists(st.integers(0, 4), max_size=4) | st.lists(st.integers(-2, 2**65), max_size=5) | JSON
DATATYPES = st.sampled_from([datatype.value for datatype in DataType]) | JSON
DATA = st.lists(NUMBERS, max_size=8) | st.lists(st.lists(NUMBERS, max_size=3), max_size=3) | JSON
PARAMETERS = st.dictionaries(
    st.sampled_from([
        "binary_data_size", "binary_data", "binary_data_output", "classification", "timeout", "priority",
        "sequence_id", "sequence_start", "sequence_end", "triton_x", "shared_memory_region", "own",
    ]),
    SCALARS, max_size=3,
)  # fmt: skip


def record(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=optional) | JSON


INPUTS = record(
    name=st.sampled_from(["x", "a", "t"]) | JSON, shape=SHAPES, datatype=DATATYPES, data=DATA, parameters=PARAMETERS
)
OUTPUTS = record(name=st.sampled_from(["y", "text", "scores"]) | JSON, parameters=PARAMETERS)
BODIES = record(
    id=SCALARS, inputs=st.lists(INPUTS, max_size=3), outputs=st.lists(OUTPUTS, max_size=2), parameters=PARAMETERS
)


@settings(max_examples=300)
@given(
    model=st.sampled_from(["echo", "inline", "text", "bool", "pair", "scores", "untold"]),
    body=BODIES, blob=st.binary(max_size=40), length=st.none() | st.integers(-40, 5),
)  # fmt: skip
def test_requests_of_the_right_form_and_any_content(
    server: Running, model: str, body: Any, blob: bytes, length: int | None
) -> None:
    text = json.dumps(body).encode()
    headers = {} if length is None else {"Inference-Header-Content-Length": max(0, len(text) + length)}
    answer = server.ask(http("POST", f"/v2/models/{model}/infer", text + blob, headers))
    check([answer], FRAMED)


CHANGING = {index for index, request in enumerate(GOOD) if b"/metrics" in request or b"/config" in request}
"""Calls whose answers tell what has happened since."""


@settings(max_examples=100)
@given(st.data())
def test_where_the_bytes_are_cut_changes_nothing(server: Running, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(GOOD))), min_size=1, max_size=6))
    whole = b"".join(GOOD[index] for index in chosen)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    answers = talk(server, *pieces)
    expected = [server.ask(GOOD[index]) for index in chosen]
    assert [answer.status for answer in answers] == [answer.status for answer in expected]
    assert [a.body for a, index in zip(answers, chosen, strict=True) if not CHANGING & {index}] == [
        e.body for e, index in zip(expected, chosen, strict=True) if not CHANGING & {index}
    ]
