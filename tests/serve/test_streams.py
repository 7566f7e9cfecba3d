"""Models that stream: what a client gets, over real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from served_models import Echo
from serving import Running, served, still_answers
from stream_client import Events, ask_stream, begun, event_of, outputs
from streaming_models import Failing, Gated, Streaming
from wire import http, infer, values

from foretell.backends import open_model
from foretell.config import ModelSettings
from foretell.types import DataType

Serve = Callable[..., Running]


def events(server: Running, model: str, given: Any, **options: Any) -> list[Any]:
    with server.connect() as wire:
        return Events(wire.send(ask_stream(model, given, **options))).all()


def test_each_item_is_an_event(serve: Serve) -> None:
    server = serve(count=Streaming())

    got = events(server, "count", {"x": 3})

    assert got == [{"model_name": "count", "model_version": "1", "y": float(n)} for n in range(3)]


def test_a_version_has_streams_too(serve: Serve) -> None:
    server = serve(count=Streaming())
    with server.connect() as wire:
        wire.send(http("POST", "/v2/models/count/versions/1/generate_stream", b'{"x": 2}'))
        assert len(Events(wire).all()) == 2


def test_no_item_is_a_complete_stream(serve: Serve) -> None:
    assert events(serve(count=Streaming()), "count", {"x": 0}) == []


def test_the_connection_goes_on_after_a_stream(serve: Serve) -> None:
    server = serve(count=Streaming(), echo=Echo())
    with server.connect() as wire:
        for _ in range(2):
            assert outputs(Events(wire.send(ask_stream("count", {"x": 2}))).all()) == [0, 1]
            assert values(wire.send(infer("echo", [7])).answer()) == [7]


def test_pipelined_requests_are_answered_in_their_order(serve: Serve) -> None:
    model = Gated()
    server = serve(gated=model, echo=Echo())
    with server.connect() as wire:
        wire.send(
            infer("echo", [1]) + ask_stream("gated", {"x": 3}) + infer("echo", [2]) + ask_stream("gated", {"x": 1})
        )
        assert values(wire.answer()) == [1]
        stream = Events(wire)
        assert stream.next()["y"] == 0
        model.gate.release(2)
        assert outputs(stream.all()) == [1, 2]
        assert values(wire.answer()) == [2]
        assert outputs(Events(wire).all()) == [0]


def test_an_item_leaves_before_the_next_one_is_there(serve: Serve) -> None:
    model = Gated()
    server = serve(gated=model)
    with server.connect() as wire:
        stream = begun(wire, "gated", 2)
        assert not model.ended.is_set()
        model.gate.release()
        assert outputs(stream.all()) == [1]


@pytest.mark.parametrize("headers", [{}, {"Connection": "keep-alive"}])
def test_http_1_0_gets_events_up_to_the_end_of_the_connection(serve: Serve, headers: dict[str, str]) -> None:
    server = serve(count=Streaming())
    with server.connect() as wire:
        wire.send(ask_stream("count", {"x": 3}, version="1.0", headers=headers))
        head, _, body = wire.rest().partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Connection: close" in head
    parts = [part + b"\n\n" for part in body.split(b"\n\n")[:-1]]
    assert [event_of(part)["y"] for part in parts] == [0, 1, 2]


def test_connection_close_is_kept_to(serve: Serve) -> None:
    server = serve(count=Streaming())
    with server.connect() as wire:
        stream = Events(wire.send(ask_stream("count", {"x": 1}, headers={"Connection": "close"})))
        assert stream.headers["connection"] == "close"
        assert len(stream.all()) == 1
        assert wire.closed


def test_events_are_never_compressed(serve: Serve) -> None:
    got = events(serve(count=Streaming()), "count", {"x": 500}, headers={"Accept-Encoding": "gzip"})
    assert len(got) == 500


def test_only_post_streams(serve: Serve) -> None:
    server = serve(count=Streaming())
    for method in ("GET", "HEAD"):
        with server.connect() as wire:
            answer = wire.send(http(method, "/v2/models/count/generate_stream")).answer(head=method == "HEAD")
            assert (answer.status, answer.header("allow")) == (405, "OPTIONS, POST")


def test_request_ids_and_parameters_travel(serve: Serve) -> None:
    def tell(text: str, params: dict[str, Any]) -> Any:
        yield f"{text} {sorted(params.items())}"

    server = serve(served(open_model(tell, ModelSettings()).model, "tell"))
    asked = {"text": "hi", "id": "a7", "temperature": 0.5, "parameters": {"stream": True}}
    with server.connect() as wire:
        stream = Events(wire.send(ask_stream("tell", asked, headers={"X-Request-Id": "mine"})))
        event = stream.next()
    assert stream.headers["x-request-id"] == "mine"
    assert event["id"] == "a7"
    assert event["output"] == "hi [('stream', True), ('temperature', 0.5)]"


def test_items_may_have_any_number_of_rows(serve: Serve) -> None:
    def grow(x: Any) -> Any:
        for rows in range(3):
            yield {"y": [[1.0, 2.0]] * rows}

    server = serve(served(open_model(grow, ModelSettings()).model, "grow"))

    assert outputs(events(server, "grow", {"x": [1.0]})) == [[], [1.0, 2.0], [1.0, 2.0, 1.0, 2.0]]


def test_an_error_in_the_middle_is_an_event_and_the_end(serve: Serve) -> None:
    server = serve(failing=Failing(), echo=Echo(DataType.FP32, (1,)))
    with server.connect() as wire:
        got = Events(wire.send(ask_stream("failing", {"x": 2}))).all()
        assert outputs(got[:2]) == [0, 1]
        assert got[2] == {
            "error": "model 'failing': stream failed: ValueError: out of luck",
            "code": "model_error",
            "retryable": False,
        }
        assert len(got) == 3
        assert values(wire.send(infer("echo", [7])).answer()) == [7]


def test_an_error_before_the_first_item_is_a_reply_like_any_other(serve: Serve) -> None:
    server = serve(failing=Failing())
    answer = server.ask(ask_stream("failing", {"x": 0}))
    assert answer.status == 500
    assert answer.error == "model 'failing': stream failed: ValueError: out of luck"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "not valid JSON"),
        (b"[1]", "is no object"),
        (b'{"x": 1, "y": [2]}', "unknown input 'y'"),
        (b'{"y": 1}', "input 'x' is missing"),
        (b'{"x": {"a": 1}}', "expected numbers, booleans or strings"),
        (b'{"x": "text"}', "input 'x'"),
        (b'{"x": [1, 2]}', "input 'x'"),
        (b'{"x": 1e400}', ""),
        (b'{"x": 1, "id": 7}', "wrong id"),
        (b'{"x": 1, "parameters": 7}', "wrong parameters"),
        (b'{"x": 1, "parameters": {"a": [1]}}', "wrong parameters"),
        (b'{"x": 1, "binary_data_output": true}', "the answer is JSON"),
        (b'{"x": 1, "priority": 2}', "no bulk work"),
        (b'{"x": 1, "timeout": -1}', "wrong parameter 'timeout'"),
        (b'{"x": ' + b"[" * 200 + b"]" * 200 + b"}", "nested too deep"),
    ],
)
@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
def test_what_is_no_request_is_told_so(serve: Serve, body: bytes, error: str, verb: str) -> None:
    model = Streaming()
    server = serve(count=model, echo=Echo(DataType.FP32, (1,)))
    answer = server.ask(http("POST", f"/v2/models/count/{verb}", body, {"Content-Length": len(body)}))
    assert answer.status == 400
    assert error in answer.error
    assert model.begun == 0
    still_answers(server)


def test_a_stream_does_not_explain_itself(serve: Serve) -> None:
    answer = serve(count=Streaming()).ask(ask_stream("count", {"x": 1}, headers={"Foretell-Explain": "true"}))
    assert answer.status == 400
    assert "Foretell-Explain" in answer.error


def test_generate_answers_with_the_only_item(serve: Serve) -> None:
    answer = serve(count=Streaming()).ask(ask_stream("count", {"x": 1, "id": "b"}, "generate"))
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert answer.json == {"id": "b", "model_name": "count", "model_version": "1", "y": 0.0}


def test_generate_stops_a_model_that_gives_more(serve: Serve) -> None:
    model = Gated()
    server = serve(gated=model)
    model.gate.release()
    answer = server.ask(ask_stream("gated", {"x": 100}, "generate"))
    assert answer.status == 400
    assert "/v2/models/gated/generate_stream" in answer.error
    model.gate.release()  # it stands between two items, and is ended before the next
    assert model.ended.wait(20)
    assert model.given < 5


def test_generate_needs_an_item(serve: Serve) -> None:
    answer = serve(count=Streaming()).ask(ask_stream("count", {"x": 0}, "generate"))
    assert answer.status == 500
    assert "gave no item" in answer.error


def test_a_model_that_only_streams_refuses_infer(serve: Serve) -> None:
    answer = serve(count=Streaming()).ask(infer("count", [1]))
    assert answer.status == 400
    assert answer.error.endswith("expected a request for a stream; ask for /v2/models/count/generate_stream")


def test_a_model_that_does_not_stream_refuses_generate(serve: Serve) -> None:
    answer = serve(echo=Echo()).ask(ask_stream("echo", {"x": 1}))
    assert answer.status == 400
    assert "does not stream" in answer.error


def test_a_model_may_answer_whole_and_in_pieces(serve: Serve) -> None:
    class Both:
        def predict(self, text: str) -> str:
            return text.upper()

        def stream(self, text: str) -> Any:
            yield from text.upper()

    server = serve(served(open_model(Both, ModelSettings()).model, "both"))
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["ab"]}
    answer = server.ask(http("POST", "/v2/models/both/infer", json.dumps({"inputs": [tensor]}).encode()))
    assert values(answer, "output") == ["AB"]
    assert outputs(events(server, "both", {"text": "ab"}), "output") == ["A", "B"]


def test_the_configuration_says_that_a_model_streams(serve: Serve) -> None:
    server = serve(count=Streaming(), echo=Echo())
    told = [server.ask(http("GET", f"/v2/models/{name}/config")).json for name in ("count", "echo")]
    assert told[0]["model_transaction_policy"] == {"decoupled": True}
    assert "model_transaction_policy" not in told[1]


def test_other_origins_may_read_a_stream(serve: Serve) -> None:
    server = serve(count=Streaming(), cors_origins=("https://page.example",))
    with server.connect() as wire:
        stream = Events(wire.send(ask_stream("count", {"x": 2}, headers={"Origin": "https://page.example"})))
        assert stream.headers["access-control-allow-origin"] == "https://page.example"
        assert len(stream.all()) == 2


def test_streams_are_counted(serve: Serve) -> None:
    server = serve(count=Streaming(), failing=Failing())
    events(server, "count", {"x": 3})
    events(server, "count", {"x": 2})
    events(server, "failing", {"x": 1})
    text = server.ask(http("GET", "/metrics")).body.decode()
    count, failing = '{model="count",version="1"', '{model="failing",version="1"'
    for line in (
        f"foretell_streams_total{count}}} 2",
        f"foretell_stream_items_total{count}}} 5",
        f"foretell_streams_running{count}}} 0",
        f"foretell_first_item_duration_seconds_count{count}}} 2",
        f'foretell_requests_total{count},outcome="ok"}} 2',
        f'foretell_requests_total{failing},outcome="ok"}} 0',
        f'foretell_requests_total{failing},outcome="model_error"}} 1',
        f"foretell_stream_items_total{failing}}} 1",
    ):
        assert line in text, line
