"""Bodies that do not fit, each answered with one sentence and the right status; the server goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from oip_requests import body, post, tensor
from serving import Running

MANY = 70_000

BODIES = {
    "nothing": b"",
    "spaces": b"   ",
    "no JSON": b"hello",
    "half of it": body(tensor())[:-9],
    "something after it": body(tensor()) + b"{}",
    "a NUL after it": body(tensor()) + b"\x00",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "an empty object": b"{}",
    "inputs of another kind": b'{"inputs":{}}',
    "inputs null": b'{"inputs":null}',
    "no inputs": body(),
    "an input of another kind": b'{"inputs":[1]}',
    "an input null": b'{"inputs":[null]}',
    "invalid UTF-8 in a name": body(tensor()).replace(b'"x"', b'"\xff\xfe"'),
    "half a surrogate in a name": body(tensor()).replace(b'"x"', b'"\\ud800"'),
    "half a surrogate in a name, and NaN": body(tensor(data=[1, 2, 3, float("nan")])).replace(b'"x"', b'"\\ud800"'),
    "half a surrogate in the id, and NaN": b'{"id":"\\ud800",' + body(tensor(data=[1, 2, 3, float("nan")]))[1:],
    "UTF-16": json.dumps({"inputs": [tensor()]}).encode("utf-16"),
    "100,000 levels": b"[" * 100_000,
    "100,000 levels, closed": b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 levels in the data": body(tensor()).replace(b"[1, 2", b"[" * 100_000 + b"1, 2"),
    "100,000 levels in an unknown key": b'{"more":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "100,000 levels and NaN": b'{"inputs":[NaN],"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "an id of another kind": body(tensor(), id=5),
    "parameters of another kind": body(tensor(), parameters=[]),
    "a nested parameter": body(tensor(), parameters={"a": {"b": 1}}),
    "a reserved parameter": body(tensor(), parameters={"triton_x": 1}),
    "a timeout in words": body(tensor(), parameters={"timeout": "soon"}),
    "a negative timeout": body(tensor(), parameters={"timeout": -1}),
    "a timeout true": body(tensor(), parameters={"timeout": True}),
    "a fractional sequence": body(tensor(), parameters={"sequence_id": 1.5}),
    "a negative sequence": body(tensor(), parameters={"sequence_id": -1}),
    "a sequence start in words": body(tensor(), parameters={"sequence_id": 1, "sequence_start": "yes"}),
    "binary output in words": body(tensor(), parameters={"binary_data_output": "false"}),
    "a priority in words": body(tensor(), parameters={"priority": "high"}),
    "outputs of another kind": body(tensor(), outputs={}),
    "an unknown output": body(tensor(), outputs=[{"name": "z"}]),
    "an output twice": body(tensor(), outputs=[{"name": "y"}, {"name": "y"}]),
    "an output twice, many times": body(tensor(), outputs=[{"name": "y"}] * MANY),
    "an output without a name": body(tensor(), outputs=[{}]),
    "an output in shared memory": body(tensor(), outputs=[{"name": "y", "parameters": {"shared_memory_region": "r"}}]),
    "an output's binary in words": body(tensor(), outputs=[{"name": "y", "parameters": {"binary_data": "no"}}]),
    "classes in words": body(tensor(), outputs=[{"name": "y", "parameters": {"classification": "3"}}]),
    "negative classes": body(tensor(), outputs=[{"name": "y", "parameters": {"classification": -1}}]),
    "an input twice": body(tensor(), tensor()),
    "an input missing": body(tensor(name="other")),
    "an input too many": body(tensor(), tensor(name="more")),
    "many inputs too many": body(tensor(), *[tensor(name=f"more{n}", data=[]) for n in range(MANY // 10)]),
    "an input without a name": body(tensor(name=None)),
    "a very long name": body(tensor(name="x" * 1_000_000)),
    "another datatype": body(tensor(datatype="INT32")),
    "an unknown datatype": body(tensor(datatype="FP33")),
    "a datatype in small letters": body(tensor(datatype="fp32")),
    "a very long datatype": body(tensor(datatype="F" * 1_000_000)),
    "a datatype of another kind": body(tensor(datatype=1)),
    "no datatype": body(tensor(datatype=None)),
    "no shape": body(tensor(shape=None)),
    "an empty shape": body(tensor(shape=[], data=[1])),
    "a shape of fractions": body(tensor(shape=[2.5, 2])),
    "a shape in words": body(tensor(shape=["2", "2"])),
    "a negative shape": body(tensor(shape=[-2, -2])),
    "a shape of -1": body(tensor(shape=[-1, 2])),
    "rows unlike the data": body(tensor(shape=[3, 2])),
    "another width": body(tensor(shape=[1, 4])),
    "another rank": body(tensor(shape=[2, 2, 1])),
    "a huge shape": body(tensor(shape=[2**62, 2])),
    "a shape beyond 64 bits": body(tensor(shape=[2**64, 2])),
    "a shape of 4,000 digits": body(tensor()).replace(b"[2, 2]", b"[" + b"9" * 4000 + b"]"),
    "a shape that overflows": body(tensor(shape=[2**32, 2**32, 2**32])),
    "a shape that overflows to what is there": body(tensor(shape=[2**62 + 2, 2])),
    "a shape of many ranks": body(tensor(shape=[2, 2, *[1] * MANY])),
    "no data": body(tensor(data=None)),
    "data null": body(tensor()).replace(b"[1, 2, 3, 4]", b"null"),
    "data of another kind": body(tensor(data="1234")),
    "an object as data": body(tensor(data={})),
    "too little data": body(tensor(data=[1, 2, 3])),
    "too much data": body(tensor(data=[1, 2, 3, 4, 5])),
    "empty data": body(tensor(data=[])),
    "a word as value": body(tensor(data=[1, 2, 3, "4"])),
    "null as value": body(tensor(data=[1, 2, 3, None])),
    "true as value": body(tensor(data=[1, 2, 3, True])),
    "a value beyond FP32": body(tensor(data=[1, 2, 3, 1e39])),
    "a value beyond FP64": body(tensor()).replace(b", 4]", b", 1e999]"),
    "a value of 4,000 digits": body(tensor()).replace(b", 4]", b", " + b"9" * 4000 + b"]"),
    "a value of 400 digits and NaN": body(tensor()).replace(b"3, 4]", b"NaN, " + b"9" * 400 + b"]"),
    "a value of 5,000 digits and NaN": body(tensor()).replace(b"3, 4]", b"NaN, " + b"9" * 5000 + b"]"),
    "a number JSON does not know": body(tensor()).replace(b", 4]", b", 0x4]"),
    "a number with a leading zero": body(tensor()).replace(b", 4]", b", 04]"),
    "a comma too many": body(tensor()).replace(b", 4]", b", 4,]"),
    "a small nan": body(tensor()).replace(b", 4]", b", nan]"),
    "wrong nesting": body(tensor(data=[[1], [2, 3, 4]])),
    "nesting turned": body(tensor(shape=[2, 2], data=[[1, 2, 3, 4]])),
    "nested and flat": body(tensor(data=[[1, 2], 3, 4])),
    "nesting too deep": body(tensor(data=[[[1], [2]], [[3], [4]]])),
    "wrong nesting and NaN": body(tensor(data=[[1], [2, 3, float("nan")]])),
    "nested and flat and NaN": body(tensor(data=[[1, 2], 3, float("nan")])),
    "data and its size": body(tensor(parameters={"binary_data_size": 16})),
    "a size without a header": body(tensor(data=None, parameters={"binary_data_size": 16})),
    "shared memory": body(tensor(data=None, parameters={"shared_memory_region": "r", "shared_memory_byte_size": 16})),
    "shared memory and data": body(tensor(parameters={"shared_memory_region": "r"})),
    "parsed values smuggled in": body(tensor(data=None, special=[1, 2, 3, 4], values=[1, 2, 3, 4])),
    "a pickle": b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_does_not_fit_is_refused_with_a_sentence(echo: Running, name: str) -> None:
    answer = post(echo, BODIES[name])
    assert answer.status == 400, answer.body[:300]
    assert answer.error
    assert post(echo, body(tensor())).json["outputs"][0]["data"] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["nothing", "a list", "a huge shape", "a value beyond FP32", "no data"])
def test_content_types_of_requests_do_not_matter(echo: Running, name: str) -> None:
    headers: dict[str, object] = {"Content-Type": "application/x-pickle", "Content-Length": len(BODIES[name])}
    assert post(echo, BODIES[name], headers).status == 400


def test_the_sentence_names_tensor_expectation_and_what_came(echo: Running) -> None:
    def error(**changes: Any) -> str:
        return post(echo, body(tensor(**changes))).error

    for text, words in {
        error(datatype="fp32"): ("unknown datatype", "did you mean 'FP32'?"),
        error(name="xx"): ("unknown input 'xx'", "did you mean 'x'"),
        error(datatype="INT64"): ("input 'x'", "model 'echo'", "expected FP32", "got INT64"),
        error(shape=[4, 1]): ("input 'x'", "wrong shape", "expected [-1, 2]", "got [4, 1]"),
        error(data=[1]): ("input 'x'", "expected 4 values for shape [2, 2]", "got 1"),
        error(data=[1, 2, 3, 1e39]): ("input 'x'", "out of range", "FP32"),
        error(data=[1, 2, "3", 4]): ("input 'x'", "float", "str"),
    }.items():
        for word in words:
            assert word in text
