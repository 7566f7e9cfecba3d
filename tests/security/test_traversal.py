"""Class of holes: traversal in names, versions and URLs. A name is compared with names, and is never a place."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from repositories import Managed
from wire import http, infer_body

NAMES = [
    "../outside", "..\\outside", "%2e%2e/outside", "%2e%2e%2foutside", "%252e%252e%252foutside", "..%2Foutside",
    "..%5Coutside", "%2e%2e%5coutside", "....//outside", "..;/outside", "m/../../outside", "m%2F..%2F..%2Foutside",
    "/etc/passwd", "%2Fetc%2Fpasswd", "//etc/passwd", "C:%5Coutside", "%00", "m%00", "m%00.onnx",
    "%c0%ae%c0%ae/outside",
    "%e0%80%ae%e0%80%ae/outside", "%uff0e%uff0e/outside", "~root", "$HOME", "file:%2F%2F%2Fetc%2Fpasswd",
    "models%2Fm", "m%2F1", ".", "..", "%2e", "%2e%2e", "m%0d%0aX-Injected:%201", "*", "m%2F", "M",
]  # fmt: skip
ROUTES = [
    "GET /v2/models/{}", "GET /v2/models/{}/ready", "GET /v2/models/{}/config", "POST /v2/models/{}/infer",
    "GET /v2/models/m/versions/{}", "GET /v2/models/m/versions/{}/config", "POST /v2/models/m/versions/{}/infer",
    "POST /v2/repository/models/{}/load", "POST /v2/repository/models/{}/unload", "POST /v2/repository/{}/index",
    "POST /v2/repository/{}/models/m/load", "GET /{}", "GET /v2/{}", "GET /metrics/{}",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_spelling_of_another_place_leads_anywhere(server: Managed, folder: Path, secret: str, name: str) -> None:
    for route in ROUTES:
        method, path = route.format(name).split(" ", 1)
        answer = server.ask(http(method, path, infer_body([1]) if path.endswith("infer") else b""))
        # What only spells a path of ours in another way is that path; "..", "." and "//" are never resolved.
        assert answer.status in (400, 404, 405), (route, answer)
        shown = answer.body.decode()
        assert secret not in shown and "root:" not in shown and str(folder) not in shown
        assert answer.header("x-injected") is None


FIELDS = ["../outside", "/etc/passwd", "..\\outside", "file:///etc/passwd", "\0", "m\0", "models/../../outside"]


@pytest.mark.parametrize("value", FIELDS)
def test_no_field_of_a_body_is_a_place(server: Managed, folder: Path, secret: str, value: str) -> None:
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}
    bodies = [
        {"inputs": [{**tensor, "name": value}]},
        {"inputs": [{**tensor, "datatype": value}]},
        {"inputs": [tensor], "outputs": [{"name": value}]},
        {"inputs": [{**tensor, "parameters": {"shared_memory_region": value, "shared_memory_byte_size": 4}}]},
        {"inputs": [{**tensor, "data": value}]},
    ]
    for body in bodies:
        answer = server.ask(http("POST", "/v2/models/m/infer", orjson.dumps(body)))
        assert answer.status in (400, 501), (body, answer)
        assert secret not in answer.error and str(folder) not in answer.error
    harmless = {"id": value, "model_name": value, "inputs": [tensor]}  # what is no field of ours changes nothing
    assert server.ask(http("POST", "/v2/models/m/infer", orjson.dumps(harmless))).json["outputs"][0]["data"] == [2]
    for parameters in ({"config": value}, {f"file:{value}": "AAAA"}, {"path": value}, {value: value}):
        answer = server.ask(http("POST", "/v2/repository/models/m/load", orjson.dumps({"parameters": parameters})))
        assert answer.status == 400, (parameters, answer)
        assert secret not in answer.error


def test_no_header_is_a_place(server: Managed) -> None:
    for header in ("X-Model-Path", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "Destination", "Referer"):
        for value in ("/etc/passwd", "../outside", "/v2/repository/models/m/unload"):
            answer = server.ask(http("GET", "/v2/models/m", headers={header: value}))
            assert (answer.status, answer.json["name"]) == (200, "m")
