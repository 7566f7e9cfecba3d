"""Requests that differ only in their numbers: remembered, and never read otherwise than the first time."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.config import ServerSettings
from foretell.engine.work import Groups
from foretell.errors import InferenceError
from foretell.serve.codecs.oip_request import RequestDecoder
from foretell.types import DataType, ModelSpec, TensorSpec

SPEC = ModelSpec(inputs=(TensorSpec("x", DataType.FP32, (None,)),))
USUAL = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2.5]}]}'


def decoder(spec: ModelSpec = SPEC, settings: ServerSettings | None = None) -> RequestDecoder:
    return RequestDecoder(lambda: spec, "model 'm'", Groups(), settings or ServerSettings())


def read(known: RequestDecoder, body: bytes) -> Any:
    """What a body asks, or how it is refused."""
    try:
        parts, asked = known.decode(body, None)
    except InferenceError as error:
        return type(error), str(error)
    outputs = [(each.name, each.parameters) for each in asked.outputs or ()]
    shared = asked.group.fields, asked.group.context.params, asked.group.context.sequence, asked.group.mergeable
    return parts, asked.rows, shared, asked.id, outputs, asked.binary, asked.timeout_s


def test_a_request_with_other_numbers_is_known() -> None:
    known = decoder()
    first = known.decode(USUAL, None)
    again = known.decode(USUAL.replace(b"[1,2.5]", b"[ 3e2,\n-4 ]"), None)
    assert first[0] == [[1.0, 2.5]] and again[0] == [[300.0, -4.0]]
    assert again[1] is known.known.find(USUAL)[1]  # type: ignore[index]
    assert again[1].group is first[1].group, "they share a batch"


OTHER_DATA = [
    b"[1,2,3]", b"[1]", b"[]", b'[1,"2"]', b"[1,null]", b"[1,true]", b"[[1,2]]", b"[1,2", b"1,2]", b"[1,,2]", b"[1 2]",
    b"[NaN,1]", b"[1,Infinity]", b"[1e999,1]", b"[1,2]]", b"{}", b"null", b"", b"[1,2],[3]", b'[1,2],"data":[3,4]',
    b"[1,2],\"shape\":[2,1]", b"[1,2]}],\"id\":\"a\",\"x\":[{\"y\":[1]", b"\xff", b"[1,\xff]", b"[01,2]", b"[1,2,]",
]  # fmt: skip


@pytest.mark.parametrize("data", OTHER_DATA)
def test_whatever_stands_in_place_of_the_numbers_is_read_as_if_for_the_first_time(data: bytes) -> None:
    known = decoder()
    read(known, USUAL)
    assert len(known.known) == 1
    body = USUAL.replace(b"[1,2.5]", data)
    assert read(known, body) == read(decoder(), body)


STRANGE = [
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2],"data":[1,2]}]}',
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2],"d\\u0061ta":[1,2]}]}',
    b'{"a":{"data":[1,2]},"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}',
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}],"a":{"data":[1,2]}}',
    b'{"inputs":[{"data":[1,2],"name":"x","shape":[1,2],"datatype":"FP32"}],"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}',
    b'{"id":"\\"data\\":[1,2]","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}',
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"a":1},"data":[1,2]}]}',
]


@pytest.mark.parametrize("body", STRANGE)
def test_a_request_in_which_the_numbers_could_be_elsewhere_is_not_remembered(body: bytes) -> None:
    known = decoder()
    assert read(known, body)[0] == [[1.0, 2.0]]
    assert not len(known.known)
    changed = body.replace(b"[1,2]", b"[3,4]", 1)
    assert read(known, changed) == read(decoder(), changed)


IDS = st.one_of(st.none(), st.text(max_size=5))
NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=4)
KEYS: dict[str, Any] = {"timeout": st.integers(0, 9), "k": st.text(max_size=2)}
PARAMETERS = st.one_of(st.none(), st.fixed_dictionaries({}, optional=KEYS))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    values = draw(NUMBERS)
    tensor: dict[str, Any] = {"name": "x", "shape": [1, draw(st.sampled_from([len(values), 2]))], "datatype": "FP32"}
    tensor = {"data": values, **tensor} if draw(st.booleans()) else {**tensor, "data": values}
    body: dict[str, Any] = {"inputs": [tensor]}
    for name, value in (("id", draw(IDS)), ("parameters", draw(PARAMETERS))):
        if value is not None:
            body = {name: value, **body} if draw(st.booleans()) else {**body, name: value}
    return orjson.dumps(body)


@given(st.lists(bodies(), min_size=1, max_size=30))
def test_a_decoder_with_memory_reads_every_request_like_one_without(requests: list[bytes]) -> None:
    known = decoder()
    for body in requests:
        assert read(known, body) == read(decoder(), body)


def test_a_long_body_is_within_the_limits_of_elements_before_it_is_decoded() -> None:
    known = decoder(settings=ServerSettings(max_elements=1000))
    read(known, USUAL)
    body = USUAL.replace(b"[1,2.5]", b"[" + b"1," * 40_000 + b"1]")
    assert read(known, body) == read(decoder(settings=ServerSettings(max_elements=1000)), body)


def test_a_client_that_numbers_its_requests_does_not_fill_the_memory() -> None:
    known = decoder()
    for number in range(5000):
        known.decode(b'{"id":"%d",' % number + USUAL[1:], None)
    assert len(known.known) < 200
    assert known.decode(USUAL, None)[0] == [[1.0, 2.5]]


def test_the_kind_of_the_numbers_is_the_model_s() -> None:
    spec = ModelSpec(inputs=(TensorSpec("x", DataType.INT8, (None,)),))
    body = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"INT8","data":[1,7]}]}'
    known = decoder(spec)
    known.decode(body, None)
    broken = body.replace(b"[1,7]", b"[1,7.5]")
    assert read(known, broken) == read(decoder(spec), broken)
    assert known.decode(body.replace(b"[1,7]", b"[1,300]"), None)[0] == [[1, 300]], "refused when the column is made"
