"""Binary requests all of whose bytes but the numbers are known, and requests that choose their outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from known_requests import patterns, teach
from oip_requests import binary
from served_models import Echo, Gate, InlineEcho, Pair, Scores
from serving import Running
from wire import Answer, http

from foretell.types import DataType

Serve = Callable[..., Running]
WANTS_BYTES = {"parameters": {"binary_data_output": True}}


def ask(values: Any, datatype: DataType = DataType.FP32, *, more: dict[str, Any] | None = None) -> bytes:
    """A request for the rows `values`, as bytes, that wants bytes back unless `more` says otherwise."""
    array = np.asarray(values, datatype.numpy)
    tensor = {"name": "x", "shape": list(array.shape), "datatype": datatype.value}
    head = {"inputs": [{**tensor, "parameters": {"binary_data_size": array.nbytes}}]}
    body, headers = binary({**head, **(WANTS_BYTES if more is None else more)}, array.tobytes())
    return http("POST", "/v2/models/m/infer", body, headers)


def read(answer: Answer, datatype: DataType = DataType.FP32) -> list[Any]:
    """The values of the only output."""
    assert answer.status == 200, answer.body
    length = int(answer.header("inference-header-content-length") or 0)
    assert answer.header("content-type") == "application/octet-stream"
    (output,) = Answer(200, [], answer.body[:length]).json["outputs"]
    values = np.frombuffer(answer.body[length:], datatype.numpy)
    assert output["parameters"] == {"binary_data_size": values.nbytes}
    return values.reshape(output["shape"]).tolist()


@pytest.mark.parametrize(
    "datatype", [DataType.FP32, DataType.FP16, DataType.FP64, DataType.INT8, DataType.INT64, DataType.UINT16]
)
@pytest.mark.parametrize("rows", [1, 3])
def test_other_numbers_have_their_own_answer(serve: Serve, datatype: DataType, rows: int) -> None:
    server = serve(m=InlineEcho(datatype, (2,)))
    with server.connect() as wire:
        teach(wire, ask([[1, 2]] * rows, datatype), server)
        for number in range(20):
            assert read(wire.send(ask([[number, 3]] * rows, datatype)).answer(), datatype) == [[number, 3]] * rows


def test_every_bit_of_a_number_arrives(serve: Serve) -> None:
    server = serve(m=InlineEcho(DataType.FP32, (2,)))
    bits = np.array([[0x7FC01234, 0x80000001]], np.uint32).view(np.float32)
    with server.connect() as wire:
        teach(wire, ask([[1, 2]]), server)
        answer = wire.send(ask(bits)).answer()
    assert answer.body.endswith(bits.tobytes())


def test_what_is_not_numbers_is_looked_at_each_time(serve: Serve) -> None:
    server = serve(m=Echo(DataType.BOOL, (2,)))
    with server.connect() as wire:
        for _ in range(4):
            assert read(wire.send(ask([[True, False]], DataType.BOOL)).answer(), DataType.BOOL) == [[True, False]]
        wrong = ask([[True, False]], DataType.BOOL)[:-1] + b"\x02"
        assert "neither 0 nor 1" in wire.send(wrong).answer().error
    assert len(patterns(server)) == 0


def test_json_and_bytes_share_a_batch(serve: Serve) -> None:
    gate = Gate(Echo(DataType.FP32, (2,)))
    gate.open_gate()
    server = serve(m=gate)
    text = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[%d,2]}]}'
    json_requests = [http("POST", "/v2/models/m/infer", text % number) for number in (3, 5)]
    with server.connect() as first, server.connect() as second, server.connect() as third:
        for wire, request in ((first, ask([[1, 2]])), (second, json_requests[0]), (third, ask([[1, 2]]))):
            for _ in range(4):
                assert wire.send(request).answer().status == 200
        assert len(patterns(server)) == 2
        gate.close_gate()
        calls = len(gate.batches)
        first.send(ask([[7, 8]]))
        server.until(lambda: len(gate.batches) == calls + 1)
        second.send(json_requests[1])
        third.send(ask([[9, 10]]))
        server.until(lambda: server.engine("m").waiting_rows == 2)
        gate.open_gate()
        assert read(first.answer()) == [[7, 8]]
        assert second.answer().json["outputs"][0]["data"] == [5, 2]
        assert read(third.answer()) == [[9, 10]]
    assert gate.batches[calls:] == [1, 2]


def test_bytes_may_be_answered_in_json(serve: Serve) -> None:
    server = serve(m=InlineEcho(DataType.FP32, (2,)))
    with server.connect() as wire:
        teach(wire, ask([[1, 2]], more={}), server)
        assert wire.send(ask([[3, 4]], more={})).answer().json["outputs"][0]["data"] == [3, 4]


def test_json_may_be_answered_in_bytes_and_keeps_its_id(serve: Serve) -> None:
    text = b'{"id":"me","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[%d,2]}],'
    more = b'"parameters":{"binary_data_output":true}}'
    server = serve(m=InlineEcho(DataType.FP32, (2,)))
    with server.connect() as wire:
        teach(wire, http("POST", "/v2/models/m/infer", text % 1 + more), server)
        answer = wire.send(http("POST", "/v2/models/m/infer", text % 3 + more)).answer()
    assert read(answer) == [[3, 2]]
    assert b'"id":"me"' in answer.body


CHOICES: list[list[dict[str, Any]]] = [
    [{"name": "scores", "parameters": {"classification": 2}}],
    [{"name": "plain"}],
    [{"name": "plain", "parameters": {"binary_data": True}}, {"name": "scores"}],
    [{"name": "plain", "parameters": {"binary_data": True}}],
]


@pytest.mark.parametrize("outputs", CHOICES)
def test_outputs_that_were_chosen_are_those_of_the_long_way(serve: Serve, outputs: list[dict[str, Any]]) -> None:
    server, other = serve(m=Scores()), serve(m=Scores())
    first, second = (ask([values], more={"outputs": outputs}) for values in ([1, 2, 3], [6, 4, 5]))
    with server.connect() as wire:
        teach(wire, first, server)
        known, new = wire.send(second).answer(), other.ask(second)
    assert (known.body, known.header("content-type")) == (new.body, new.header("content-type"))
    assert {name for name, _ in known.headers} == {name for name, _ in new.headers}


def test_an_output_that_is_not_there_is_told_each_time(serve: Serve) -> None:
    server = serve(m=Scores())
    with server.connect() as wire:
        for _ in range(5):
            request = ask([[1, 2, 3]], more={"outputs": [{"name": "score"}]})
            assert "unknown output" in wire.send(request).answer().error
    assert len(patterns(server)) == 0


def test_several_tensors_go_the_long_way(serve: Serve) -> None:
    server = serve(m=Pair())
    numbers = np.array([[1, 2]], np.float32)
    head = {
        "inputs": [
            {"name": "a", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "t", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}},
        ]
    }
    body, headers = binary(head, numbers.tobytes(), b"\x02\0\0\0ab")
    with server.connect() as wire:
        for _ in range(4):
            answer = wire.send(http("POST", "/v2/models/m/infer", body, headers)).answer()
            assert [output["data"] for output in answer.json["outputs"]] == [[2, 4], ["AB"]]
    assert len(patterns(server)) == 0


def test_a_large_answer_is_compressed_where_the_client_takes_it(serve: Serve) -> None:
    server = serve(m=InlineEcho(DataType.FP32, (None,)))
    request = ask([[0.5] * 300]).replace(b"Host:", b"Accept-Encoding: gzip\r\nHost:", 1)
    with server.connect() as wire:
        answer = teach(wire, request, server)
    assert answer.header("content-encoding") == "gzip"
