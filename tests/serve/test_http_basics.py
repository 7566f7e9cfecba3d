"""HTTP/1.1 as clients speak it: methods, keep-alive, pipelining, bodies in every form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from served_models import Echo, Gate, InlineEcho, Poison
from wire import chunked, http, infer, infer_body, values

METADATA = "/v2/models/echo"


def test_a_connection_answers_one_request_after_another(serve: Any) -> None:
    with serve(echo=Echo()).connect() as wire:
        for number in range(5):
            assert values(wire.send(infer("echo", [number])).answer()) == [number]


def test_pipelined_requests_are_answered_in_order(serve: Any) -> None:
    with serve(echo=InlineEcho()).connect() as wire:
        wire.send(b"".join(infer("echo", [number]) for number in range(300)))
        assert [values(wire.answer()) for _ in range(300)] == [[float(number)] for number in range(300)]


def test_a_fast_answer_waits_for_the_slow_one_before_it(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate, echo=InlineEcho(), poison=Poison())
    with server.connect() as wire:
        wire.send(infer("gate", [1]))
        gate.wait_entered()
        wire.send(infer("echo", [2]) + http("GET", "/nowhere") + infer("poison", [666]) + infer("gate", [3]))
        wire.send(http("GET", "/v2/health/live") + infer("echo", [4, 5]))
        # The server is busy with other clients meanwhile.
        assert values(server.ask(infer("echo", [9]))) == [9]
        gate.open_gate()
        assert values(wire.answer()) == [1]
        assert values(wire.answer()) == [2]
        assert wire.answer().status == 404
        assert wire.answer().status == 500
        assert values(wire.answer()) == [3]
        assert wire.answer().json["live"] is True
        assert values(wire.answer()) == [4, 5]


def test_connection_close_is_honoured(serve: Any) -> None:
    with serve(echo=Echo()).connect() as wire:
        answer = wire.send(infer("echo", [1], {"Connection": "close"})).answer()
        assert answer.header("connection") == "close"
        assert wire.closed


def test_nothing_after_connection_close_is_answered(serve: Any) -> None:
    with serve(echo=Echo()).connect() as wire:
        wire.send(http("GET", METADATA, headers={"Connection": "close"}) + http("GET", METADATA))
        assert wire.answer().status == 200
        assert wire.closed


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}, {"Connection": "close, keep-alive"}])
def test_http_1_0_gets_one_answer(serve: Any, headers: dict[str, str]) -> None:
    with serve(echo=Echo()).connect() as wire:
        answer = wire.send(http("GET", METADATA, headers=headers, version="1.0")).answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert wire.closed


def test_http_1_0_may_keep_its_connection(serve: Any) -> None:
    """As `ab -k` does, which waits for the end of the connection where it is not told that there is none."""
    server = serve(echo=InlineEcho(), slow=Echo())
    keeps = {"Connection": "Keep-Alive"}
    with server.connect() as wire:
        for number in range(4):
            for request, status in (
                (http("POST", "/v2/models/echo/infer", infer_body([number]), keeps, "1.0"), 200),
                (http("POST", "/v2/models/slow/infer", infer_body([number]), keeps, "1.0"), 200),
                (http("GET", "/v2/health/live", headers={**keeps, "X-Request-Id": "mine"}, version="1.0"), 200),
                (http("GET", "/nowhere", headers=keeps, version="1.0"), 404),
            ):
                answer = wire.send(request).answer()
                assert (answer.status, answer.header("connection")) == (status, "keep-alive")
        assert values(wire.send(infer("echo", [5])).answer()) == [5]
        assert wire.send(http("GET", METADATA, version="1.0")).answer().header("connection") == "close"
        assert wire.closed


def test_http_1_0_knows_neither_interim_replies_nor_upgrades(serve: Any) -> None:
    """As a proxy sends it whose users copied the headers for WebSockets, and left the version as it was."""
    server = serve(echo=Echo())
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\n"
    for more in (b"Expect: 100-continue\r\n", upgrade):
        body = infer_body([1])
        head = b"POST /v2/models/echo/infer HTTP/1.0\r\n%bContent-Length: %d\r\n\r\n" % (more, len(body))
        with server.connect() as wire:
            answer = wire.send(head + body)._one(head=False)
            assert (values(answer), answer.header("connection")) == ([1], "close")
            assert wire.closed


def test_head_is_get_without_the_body(serve: Any) -> None:
    with serve(echo=Echo()).connect() as wire:
        body = wire.send(http("GET", METADATA)).answer()
        head = wire.send(http("HEAD", METADATA)).answer(head=True)
        assert head.header("content-length") == str(len(body.body))
        assert wire.send(http("HEAD", "/nowhere")).answer(head=True).status == 404
        assert wire.send(http("GET", METADATA)).answer().body == body.body


def test_no_cache_on_the_way_keeps_an_answer(serve: Any) -> None:
    """Varnish kept "ready" for two minutes."""
    with serve(echo=Echo()).connect() as wire:
        for path in ("/v2/health/ready", "/metrics", METADATA, "/nowhere"):
            assert wire.send(http("GET", path)).answer().header("cache-control") == "no-store"
            assert wire.send(http("HEAD", path)).answer(head=True).header("cache-control") == "no-store"
        assert wire.send(infer("echo", [1])).answer().header("cache-control") is None


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v2/models/echo/infer", "OPTIONS, POST"),
        ("HEAD", "/v2/models/echo/infer", "OPTIONS, POST"),
        ("POST", "/v2/health/live", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v2/models/echo", "GET, HEAD, OPTIONS"),
        ("PUT", "/metrics", "GET, HEAD, OPTIONS"),
        ("PATCH", "/v2", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(serve: Any, method: str, path: str, allow: str) -> None:
    with serve(echo=Echo()).connect() as wire:
        answer = wire.send(http(method, path)).answer(head=method == "HEAD")
        assert answer.status == 405
        assert answer.header("allow") == allow
        options = wire.send(http("OPTIONS", path)).answer()
        assert (options.status, options.header("allow"), options.body) == (204, allow, b"")


def test_a_request_may_come_byte_by_byte(serve: Any) -> None:
    request = infer("echo", [1, 2])
    with serve(echo=Echo()).connect() as wire:
        wire.trickle(request[at : at + 1] for at in range(len(request)))
        assert values(wire.answer()) == [1, 2]


def test_a_body_may_come_in_chunks(serve: Any) -> None:
    body = infer_body([1, 2, 3])
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    with serve(echo=Echo()).connect() as wire:
        for _ in range(2):
            assert values(wire.send(chunked("/v2/models/echo/infer", pieces)).answer()) == [1, 2, 3]
        assert values(wire.send(chunked("/v2/models/echo/infer", [body])).answer()) == [1, 2, 3]


def test_trailers_change_nothing(serve: Any) -> None:
    trailer = b"Inference-Header-Content-Length: 0\r\nContent-Encoding: gzip\r\nX: y\r\n"
    with serve(echo=Echo()).connect() as wire:
        assert values(wire.send(chunked("/v2/models/echo/infer", [infer_body([1])], trailer)).answer()) == [1]


def test_expect_100_continue_is_answered_before_the_body(serve: Any) -> None:
    body = infer_body([1])
    head = http("POST", "/v2/models/echo/infer", headers={"Content-Length": len(body), "Expect": "100-Continue"})
    with serve(echo=Echo()).connect() as wire:
        for _ in range(2):
            assert wire.send(head).interim().status == 100
            assert values(wire.send(body).answer()) == [1]


def test_a_refused_body_is_not_asked_for(serve: Any) -> None:
    head = http("POST", "/v2/models/echo/infer", headers={"Content-Length": 10_000, "Expect": "100-continue"})
    with serve(echo=Echo(), max_body_bytes=1000).connect() as wire:
        wire.send(head)
        assert wire._one(head=False).status == 413
        assert wire.closed


def test_a_client_may_close_its_side_and_still_read(serve: Any) -> None:
    gate = Gate()
    with serve(gate=gate, echo=Echo()).connect() as wire:
        wire.send(infer("gate", [1]) + infer("echo", [2])).finish()
        gate.wait_entered()
        gate.open_gate()
        assert values(wire.answer()) == [1]
        assert values(wire.answer()) == [2]
        assert wire.closed


def test_a_client_that_ends_in_the_middle_of_a_request_gets_no_answer(serve: Any) -> None:
    server = serve(echo=Echo())
    request = infer("echo", [1])
    for cut in (1, 30, len(request) - 1):
        with server.connect() as wire:
            wire.send(request[:cut]).finish()
            assert wire.rest() == b""


def test_upgrades_are_passed_over(serve: Any) -> None:
    """Java's HTTP client asks for HTTP/2 in this way with its first request; it goes on with HTTP/1.1."""
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    with serve(echo=Echo()).connect() as wire:
        assert values(wire.send(infer("echo", [1], upgrade)).answer()) == [1]
        assert wire.send(http("GET", METADATA, headers=upgrade)).answer().status == 200
        wire.send(infer("echo", [2], upgrade) + infer("echo", [3], upgrade))
        assert values(wire.answer()) == [2]
        assert values(wire.answer()) == [3]
        half = infer("echo", [4], upgrade)
        wire.send(half[:-5])
        wire.send(half[-5:])
        assert values(wire.answer()) == [4]


def test_paths_may_be_escaped_and_have_queries(serve: Any) -> None:
    with serve(echo=Echo()).connect() as wire:
        assert wire.send(http("GET", "http://localhost")).answer().json["status"] == "alive"
        for path in ("/v2/models/echo?x=1", "/v2/models/%65cho", "/v2/models/echo/", "http://localhost/v2/models/echo"):
            assert wire.send(http("GET", path)).answer().json["name"] == "echo", path


def test_the_address_itself_tells_what_is_there(serve: Any) -> None:
    server = serve(echo=Echo())
    told = server.ask(http("GET", "/")).json
    assert told["status"] == "alive"
    for path in (told["server"], told["models"]["echo"]):
        assert "name" in server.ask(http("GET", path)).json
    assert server.ask(http("GET", told["metrics"])).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v2x", "/v2/models", "/v2/models/", "/v2/models//infer", "/v2/models/echo/infer/more",
        "/v2/models/echo/versions//infer", "/v2/health", "//v2", "/v1/models/echo",
        "/v2/models/echo/..;/infer", "/v2/models/echo/../echo",
    ],
)  # fmt: skip
def test_an_unknown_path_is_not_found(serve: Any, path: str) -> None:
    answer = serve(echo=Echo()).ask(http("GET", path))
    assert answer.status == 404
    assert answer.error == "Not Found"


@pytest.mark.parametrize(
    "name",
    ["other", "..%2f..%2fetc%2fpasswd", "%2e%2e", "%252e%252e", "..%5c..", "%00", "echo%00", "%ff%fe", "a" * 5000],
)
def test_an_unknown_model_is_not_found(serve: Any, name: str) -> None:
    server = serve(echo=Echo())
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/infer", f"/v2/models/echo/versions/{name}"):
        answer = server.ask(http("POST" if path.endswith("infer") else "GET", path, b"{}"))
        assert answer.status == 404
        assert answer.error.startswith("Request for unknown model: ")


def test_names_are_compared_decoded(serve: Any) -> None:
    server = serve(**{"mein Modell ö": Echo()})
    answer = server.ask(http("GET", "/v2/models/mein%20Modell%20%C3%B6"))
    assert answer.json["name"] == "mein Modell ö"


def test_metadata_and_configuration(serve: Any) -> None:
    server = serve(echo=Echo())
    assert server.ask(http("GET", "/v2/models/echo/versions/1")).json == {
        "name": "echo",
        "versions": ["1"],
        "platform": "python",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, -1]}],
    }
    config = server.ask(http("GET", "/v2/models/echo/config")).json
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}]
    assert config["max_batch_size"] == 128
    assert server.ask(http("GET", "/v2/models/echo/ready")).json == {"name": "echo", "ready": True}
    assert server.ask(http("GET", "/v2/health/ready")).json["ready"] is True
    assert set(server.ask(http("GET", "/v2")).json) == {"name", "version", "extensions"}


def test_a_reply_says_what_it_is(serve: Any) -> None:
    answer = serve(echo=Echo()).ask(infer("echo", [1.5]))
    assert answer.header("content-type") == "application/json"
    assert answer.header("inference-header-content-length") is None
    assert answer.header("date") is not None
    assert json.loads(answer.body) == {
        "model_name": "echo",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [1.5]}],
    }
