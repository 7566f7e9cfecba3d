"""Binary requests with a text that is known: read as the first time, whatever bytes follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.columns import Bytes, Dense
from foretell.config import ServerSettings
from foretell.engine.work import Groups
from foretell.errors import InferenceError
from foretell.serve.codecs.oip_request import RequestDecoder
from foretell.types import DataType, ModelSpec, TensorSpec

SPEC = ModelSpec(
    inputs=(
        TensorSpec("a", DataType.FP32, (None,)),
        TensorSpec("flag", DataType.BOOL, ()),
        TensorSpec("t", DataType.BYTES, ()),
    )
)
SIZES = {"a": 16, "flag": 2, "t": 10}


def decoder(spec: ModelSpec = SPEC) -> RequestDecoder:
    return RequestDecoder(lambda: spec, "model 'm'", Groups(), ServerSettings())


def text(order: tuple[str, ...] = ("t", "a", "flag"), **more: Any) -> bytes:
    kinds = {"a": ([2, 2], "FP32"), "flag": ([2], "BOOL"), "t": ([2], "BYTES")}
    inputs = [
        {"name": n, "shape": kinds[n][0], "datatype": kinds[n][1], "parameters": {"binary_data_size": SIZES[n]}}
        for n in order
    ]
    return orjson.dumps({"inputs": inputs, **more})


def read(known: RequestDecoder, head: bytes, blobs: bytes) -> Any:
    """What a request asks, or how it is refused."""
    try:
        parts, asked = known.decode(head + blobs, b"%d" % len(head))
    except InferenceError as error:
        return type(error), str(error)
    columns = [
        part.data.tolist() if isinstance(part, Dense) else list(part.items()) if isinstance(part, Bytes) else part
        for part in parts
    ]
    return columns, asked.rows, asked.group.fields, asked.group.context.params, asked.id, asked.binary, asked.timeout_s


GOOD = b"\1\0\0\0x\1\0\0\0y" + np.arange(4, dtype="<f4").tobytes() + b"\0\1"


def test_a_known_text_is_not_decoded_again() -> None:
    known, head = decoder(), text(parameters={"binary_data_output": True, "timeout": 5_000_000})
    first = known.decode(head + GOOD, b"%d" % len(head))
    again = known.decode(head + GOOD, b"%d" % len(head))
    assert again[1] is first[1] and len(known.known_binary) == 1
    assert read(known, head, GOOD) == read(decoder(), head, GOOD)


@given(st.binary(max_size=40), st.permutations(["a", "flag", "t"]))
def test_whatever_bytes_follow_is_read_as_if_the_text_were_new(blobs: bytes, order: list[str]) -> None:
    known, head = decoder(), text(tuple(order))
    parts = {"t": GOOD[:10], "a": GOOD[10:26], "flag": GOOD[26:]}
    assert len(read(known, head, b"".join(parts[name] for name in order))) == 7
    for sent in (blobs, blobs.ljust(28, b"\0")[:28], GOOD):
        assert read(known, head, sent) == read(decoder(), head, sent)


@pytest.mark.parametrize("end", [0, 1, 27, 29, 60])
def test_too_few_and_too_many_bytes_are_refused(end: int) -> None:
    known, head = decoder(), text()
    read(known, head, GOOD)
    refused = read(known, head, (GOOD * 3)[:end])
    assert issubclass(refused[0], InferenceError) and refused == read(decoder(), head, (GOOD * 3)[:end])


def test_texts_that_are_all_different_fill_nothing() -> None:
    known = decoder()
    for number in range(500):
        read(known, text(id=str(number)), GOOD)
    assert len(known.known_binary) < 100


def test_a_text_with_values_in_it_is_not_kept() -> None:
    known = decoder(ModelSpec(inputs=(TensorSpec("x", DataType.FP32, (2,)),)))
    head = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'
    assert read(known, head, b"") == read(known, head, b"")
    assert not len(known.known_binary)
