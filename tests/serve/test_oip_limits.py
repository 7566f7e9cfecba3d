"""Encodings that are unknown, damaged or bombs, and requests larger than allowed."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from oip_requests import binary, body, post, tensor
from served_models import Echo
from serving import Running

from foretell.types import DataType


class TestEncodings:
    def test_an_unknown_encoding(self, echo: Running) -> None:
        for encoding in ("br", "zstd", "compress", "gzip, gzip", "x" * 5000):
            answer = post(echo, body(tensor()), {"Content-Encoding": encoding})
            assert answer.status == 501
            assert answer.header("accept-encoding") == "gzip, deflate"
            assert answer.error

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_damaged_data(self, echo: Running, encoding: str) -> None:
        packed = gzip.compress(body(tensor())) if encoding == "gzip" else zlib.compress(body(tensor()))
        damaged = [packed[:-1], packed[:20], packed[:2], b"", packed + b"x", body(tensor()), packed[:-6] + b"\0" * 6]
        for data in damaged:
            answer = post(echo, data, {"Content-Encoding": encoding, "Content-Length": len(data)})
            assert answer.status == 400
            assert encoding in answer.error
        assert post(echo, packed, {"Content-Encoding": encoding}).status == 200

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_a_bomb(self, serve: Any, encoding: str) -> None:
        server = serve(echo=Echo(DataType.FP32, (2,)), max_body_bytes=1_000_000)
        huge = b" " * 50_000_000
        packed = gzip.compress(huge, 1) if encoding == "gzip" else zlib.compress(huge, 1)
        assert len(packed) < 500_000
        answer = post(server, packed, {"Content-Encoding": encoding})
        assert answer.status == 413
        assert "1000000" in answer.error
        assert post(server, body(tensor())).status == 200


def test_more_elements_than_allowed(serve: Any) -> None:
    server = serve(echo=Echo(), max_elements=1000)
    assert post(server, body(tensor(shape=[1, 1001], data=[0] * 1001))).status in {400, 413}
    assert post(server, body(tensor(data=[1, 2, 3, 4], comment=[0] * 2000))).status == 413
    assert post(server, body(tensor(shape=[1, 900], data=[0] * 900))).status == 200


def test_many_bytes_are_not_many_elements(serve: Any) -> None:
    """The limit of elements is one of JSON; what is binary has the limit of the body."""
    server = serve(image=Echo(DataType.UINT8, (None,)), max_elements=1000)
    head = {
        "inputs": [tensor(shape=[1, 5000], datatype="UINT8", data=None, parameters={"binary_data_size": 5000})],
        "parameters": {"binary_data_output": True},
    }
    assert post(server, *binary(head, bytes(5000)), model="image").status == 200
