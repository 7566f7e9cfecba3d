"""Binary data that is not what its sizes and headers say."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from oip_requests import binary, post, tensor
from served_models import Echo, Pair, Untold
from serving import Running

from foretell.types import DataType


class TestBinary:
    good = np.arange(4, dtype="<f4").tobytes()

    def head(self, size: Any = 16, **changes: Any) -> dict[str, Any]:
        return {"inputs": [tensor(data=None, parameters={"binary_data_size": size}, **changes)]}

    @pytest.mark.parametrize("size", [0, 12, 15, 17, 20, -1, -(2**63), 2**63, 2**64, 1.5, "16", True, None])
    def test_a_size_that_lies(self, echo: Running, size: Any) -> None:
        blob = self.good + (b"more" if size == 20 else b"")
        assert post(echo, *binary(self.head(size), blob)).status == 400

    def test_a_blob_that_is_cut_off(self, echo: Running) -> None:
        answer = post(echo, *binary(self.head(), self.good[:-1]))
        assert answer.status == 400
        assert "at most 15 bytes" in answer.error

    def test_bytes_left_over(self, echo: Running) -> None:
        answer = post(echo, *binary(self.head(), self.good, b"x"))
        assert answer.status == 400
        assert "1 bytes are left over" in answer.error
        assert post(echo, *binary({"inputs": [tensor()]}, b"xx")).status == 400

    def test_data_beside_a_blob(self, echo: Running) -> None:
        both = {"inputs": [tensor(parameters={"binary_data_size": 16})]}
        assert post(echo, *binary(both, self.good)).status == 400

    @pytest.mark.parametrize("length", ["x", "-1", "1.5", "+5", "0x10", "", " ", "9" * 30, "99999999", "1_0", "\xb2"])
    def test_a_header_length_that_is_none(self, echo: Running, length: str) -> None:
        text, headers = binary(self.head(), self.good)
        assert post(echo, text, {**headers, "Inference-Header-Content-Length": length}).status == 400

    @pytest.mark.parametrize("change", [-3, 3])
    def test_a_header_length_that_lies(self, echo: Running, change: int) -> None:
        text, headers = binary(self.head(), self.good)
        length = int(str(headers["Inference-Header-Content-Length"])) + change
        assert post(echo, text, {"Inference-Header-Content-Length": length}).status == 400

    def test_a_bool_that_is_none(self, serve: Any) -> None:
        server = serve(echo=Echo(DataType.BOOL, (2,)))
        head = {"inputs": [tensor(datatype="BOOL", data=None, parameters={"binary_data_size": 4})]}
        assert post(server, *binary(head, b"\x00\x01\x02\x01")).status == 400

    @pytest.mark.parametrize(
        "blob",
        [
            b"", b"\x00", b"\x00" * 3, b"\x00" * 4, struct.pack("<I", 2**32 - 1), struct.pack("<I", 5) + b"abcd",
            struct.pack("<I", 1) + b"a" + struct.pack("<I", 1), b"\x01\0\0\0a\0\0\0\0z",
            struct.pack("<I", 2**31) * 2, b"\xff" * 8,
        ],
    )  # fmt: skip
    def test_lengths_of_strings_that_lie(self, serve: Any, blob: bytes) -> None:
        server = serve(echo=Echo(DataType.BYTES, (2,)))
        head = {
            "inputs": [tensor(shape=[1, 2], datatype="BYTES", data=None, parameters={"binary_data_size": len(blob)})]
        }
        answer = post(server, *binary(head, blob))
        assert answer.status == 400
        assert "input 'x'" in answer.error

    @pytest.mark.parametrize("size", [0, 4, 7, 9, 12])
    def test_a_raw_request_of_the_wrong_size(self, echo: Running, size: int) -> None:
        answer = post(echo, bytes(size), {"Inference-Header-Content-Length": 0, "Content-Length": size})
        assert answer.status == 400

    def test_a_raw_request_to_a_model_it_cannot_fit(self, serve: Any) -> None:
        server = serve(two=Pair(), free=Echo(DataType.FP32, (None, None)), untold=Untold())
        for model in ("two", "free", "untold"):
            answer = post(server, bytes(8), {"Inference-Header-Content-Length": 0}, model)
            assert answer.status == 400
            assert "raw request" in answer.error
