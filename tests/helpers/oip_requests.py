"""Requests of the Open Inference Protocol, good ones to begin with, for tests to spoil."""

from __future__ import annotations

import json
from typing import Any

from serving import Running
from wire import Answer, http


def post(server: Running, body: bytes, headers: dict[str, object] | None = None, model: str = "echo") -> Answer:
    return server.ask(http("POST", f"/v2/models/{model}/infer", body, headers or {"Content-Length": len(body)}))


def tensor(**changes: Any) -> dict[str, Any]:
    """A good input of `Echo`; a change to None leaves the key out."""
    whole = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4], **changes}
    return {key: value for key, value in whole.items() if value is not None}


def body(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


def binary(head: dict[str, Any], *blobs: bytes) -> tuple[bytes, dict[str, object]]:
    text = json.dumps(head).encode()
    return b"".join([text, *blobs]), {"Inference-Header-Content-Length": len(text)}
