"""How each server is asked for one row and says its answer; and whether its answers are right."""

from __future__ import annotations

import http.client
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

_AT_ONCE = 16
_TOLERANCE = 1e-4
_HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class Wire(ABC):
    """One protocol: a row of FP32 in, a row of FP32 out."""

    @abstractmethod
    def request(self, row: np.ndarray) -> Request: ...

    @abstractmethod
    def answer(self, body: bytes, headers: Mapping[str, str]) -> np.ndarray: ...

    def ask(self, connection: http.client.HTTPConnection, row: np.ndarray) -> np.ndarray:
        request = self.request(row)
        connection.request("POST", request.path, request.body, dict(request.headers))
        reply = connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise http.client.HTTPException(f"status {reply.status}: {body[:300]!r}")
        return self.answer(body, dict(reply.headers))


@dataclass(frozen=True)
class Oip(Wire):
    """Open Inference Protocol, the row as JSON."""

    model: str
    input: str = "input"
    priority: int | None = None

    def request(self, row: np.ndarray) -> Request:
        tensor = {"name": self.input, "shape": [1, *row.shape], "datatype": "FP32", "data": row.reshape(-1).tolist()}
        more = {} if self.priority is None else {"parameters": {"priority": self.priority}}
        return Request(f"/v2/models/{self.model}/infer", json.dumps({"inputs": [tensor], **more}).encode())

    def answer(self, body: bytes, headers: Mapping[str, str]) -> np.ndarray:
        return np.array(json.loads(body)["outputs"][0]["data"], np.float32).reshape(-1)


@dataclass(frozen=True)
class OipBinary(Wire):
    """Open Inference Protocol, the row as bytes behind a head of JSON, and the answer likewise."""

    model: str
    input: str = "input"

    def request(self, row: np.ndarray) -> Request:
        tensor = {
            "name": self.input, "shape": [1, *row.shape], "datatype": "FP32",
            "parameters": {"binary_data_size": row.nbytes},
        }  # fmt: skip
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(len(head))}
        return Request(f"/v2/models/{self.model}/infer", head + row.astype("<f4").tobytes(), headers)

    def answer(self, body: bytes, headers: Mapping[str, str]) -> np.ndarray:
        lengths = {name.lower(): value for name, value in headers.items()}
        return np.frombuffer(body[int(lengths[_HEADER_LENGTH.lower()]) :], "<f4")


@dataclass(frozen=True)
class Raw(Wire):
    """Nothing but bytes, as the bare binary server speaks."""

    def request(self, row: np.ndarray) -> Request:
        return Request("/", row.astype("<f4").tobytes(), {"Content-Type": "application/octet-stream"})

    def answer(self, body: bytes, headers: Mapping[str, str]) -> np.ndarray:
        return np.frombuffer(body, "<f4")


@dataclass(frozen=True)
class Plain(Wire):
    """mosec's habit: one small JSON object in, one out."""

    path: str = "/inference"

    def request(self, row: np.ndarray) -> Request:
        return Request(self.path, json.dumps({"input": row.reshape(-1).tolist()}).encode())

    def answer(self, body: bytes, headers: Mapping[str, str]) -> np.ndarray:
        return np.array(json.loads(body)["output"], np.float32).reshape(-1)


def differs(port: int, wire: Wire, rows: np.ndarray, expected: np.ndarray) -> str:
    """Asks for all `rows`, many at a time and twice each, so that batches form; what is wrong with an answer, or ""."""

    def ask(indices: list[int]) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            for index in indices:
                answer = wire.ask(connection, rows[index])
                right = expected[index].reshape(-1)
                if answer.shape != right.shape or not np.allclose(answer, right, _TOLERANCE, _TOLERANCE):
                    return f"row {index}: {answer[:8]} instead of {right[:8]}"
        except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
            return repr(error)
        finally:
            connection.close()
        return ""

    shares = [list(range(start, len(rows), _AT_ONCE)) * 2 for start in range(_AT_ONCE)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return next((wrong for wrong in pool.map(ask, shares) if wrong), "")
