"""Class of holes: errors that tell what is inside. No bad input of any route is answered with a place of this machine,
a traceback, or a name out of the program."""

from __future__ import annotations

import ast
import builtins
import gzip
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from repositories import Manage, Managed, put
from routes import ROUTES
from wire import Answer, http, infer

import foretell

PACKAGE = Path(foretell.__file__).parent
LIBRARIES = ("numpy", "msgspec", "orjson", "onnxruntime", "httptools", "uvloop", "asyncio", "llhttp", "zlib.error")
SPOKEN = {"Model"}
"""Names of classes that are words of the protocol, too."""


def _names() -> Iterator[str]:
    """Classes and modules of ours, and exceptions of Python."""
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        if module.count(".") and not module.endswith("__"):
            yield module
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and len(re.findall("[A-Z]", node.name)) > 1:
                yield node.name
    yield from (name for name in vars(builtins) if name.endswith(("Error", "Exception")))
    yield from LIBRARIES


INSIDE = re.compile(
    r"\b(?:" + "|".join(map(re.escape, sorted(set(_names()) - SPOKEN))) + r")\b|Traceback|File \"|\.py\b|site-packages"
    r"|0x[0-9a-f]{6,}| object at |\bline \d+, in\b|/(?:home|root|usr|tmp|opt|var|etc|proc|dev)/"
)

TENSOR = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}
WRONG: list[object] = [
    None, [], {}, 0, "a", [[]], {"inputs": None}, {"inputs": {}}, {"inputs": []}, {"inputs": [None]},
    {"inputs": [{}]}, {"inputs": [[]]}, {"inputs": [TENSOR, TENSOR]}, {"inputs": [TENSOR], "outputs": "y"},
    {"inputs": [TENSOR], "outputs": [{"name": 1}]}, {"inputs": [TENSOR], "outputs": [{"name": "no"}]},
    {"inputs": [TENSOR], "parameters": []}, {"inputs": [TENSOR], "parameters": {"timeout": "soon"}},
    {"inputs": [TENSOR], "parameters": {"priority": "high"}}, {"inputs": [TENSOR], "id": 5},
    {"inputs": [TENSOR], "parameters": {"sequence_id": {}, "sequence_start": 3}},
    *[{"inputs": [{**TENSOR, key: value}]}
      for key in (*TENSOR, "parameters")
      for value in (None, 5, "wrong", [], {}, [None], ["a"], [[1], [2, 3]], [1e400])],
    {"text": None}, {"text": 5}, {"text": []}, {"text": {}}, {"text": ["a", "b"]}, {"text": "a", "more": {}},
    {"text": "a", "parameters": 5}, {"text": "a", "parameters": {"a": []}}, {"text": "a", "id": []}, {"words": "a"},
    {"ready": "yes"}, {"parameters": None}, {"parameters": {"unload_dependents": 3}}, {"parameters": {"config": {}}},
]  # fmt: skip
BODIES = [
    b"{", b"\xff\xfe\x00", b"\0" * 50, b"{}}", b'{"a":1,"a":2}', b"[1,]", b"NaN", b"{'a':1}", b"\xef\xbb\xbf{}",
    b'{"inputs":"\xff"}', b'{"text":"\xff"}', b'"\\ud800"', b'{"text":"\\ud800"}', b"<xml/>", b"a=b&c=d", b"[" * 5000,
]  # fmt: skip
HEADERS: list[dict[str, object]] = [
    {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}, {"Content-Encoding": "br"},
    {"Inference-Header-Content-Length": -1}, {"Inference-Header-Content-Length": 10**17},
    {"Inference-Header-Content-Length": "x"}, {"Foretell-Explain": "perhaps"}, {"Transfer-Encoding": "gzip"},
    {"Transfer-Encoding": "chunked, gzip"}, {"Expect": "miracles"}, {"Upgrade": "h2c", "Connection": "Upgrade"},
    {"Authorization": "Basic " + "A" * 1000}, {"Traceparent": "00-x"}, {"Range": "bytes=0-1"}, {"Host": "elsewhere"},
    {"Accept": "no/thing"}, {"Accept-Encoding": "gzip;q=banana"}, {"Cookie": "a"}, {"TE": "trailers, x"},
    {"Content-Length": "abc"}, {"Content-Length": "5, 6"}, {"Content-Type": "application/json; charset=utf-99"},
    {"X-Request-Id": "x" * 500}, {"If-None-Match": "*"}, {"Connection": "x, y, close"}, {"A" * 3000: "b"},
]  # fmt: skip


def clean(answer: Answer, *secrets: str) -> None:
    body = gzip.decompress(answer.body) if answer.header("content-encoding") == "gzip" else answer.body
    shown = "\n".join(f"{name}: {value}" for name, value in answer.headers) + "\n" + body.decode("utf-8")
    found = INSIDE.search(shown)
    assert found is None, (found, shown[:2000])
    for secret in secrets:
        assert secret not in shown, shown[:2000]
    assert answer.status != 500, shown[:2000]
    if answer.status >= 400:
        assert answer.error


@pytest.mark.parametrize("request_line", ROUTES)
def test_no_bad_request_is_told_what_is_inside(server: Managed, folder: Path, request_line: str) -> None:
    method, path = request_line.split()
    secrets = (str(folder), folder.name, str(PACKAGE), sys.prefix)
    requests = [http(method, path, body) for body in (*map(orjson.dumps, WRONG), *BODIES)]
    requests += [http(method, path, b"{}" if method == "POST" else b"", headers) for headers in HEADERS]
    requests += [http(method, path, gzip.compress(body), {"Content-Encoding": "gzip"}) for body in BODIES]
    requests += [
        http(method, path + more) for more in ("?", "?a=%zz", "?%00", "/x", "//", "%", "%00", "%ff", ";a", "/..")
    ]
    requests += [http(other, path) for other in ("DELETE", "PUT", "PATCH", "TRACE", "PROPFIND", "get", "FOO")]
    requests += [
        f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode()
        for version in ("0.9", "1.0", "2.0", "9.9")
    ]
    requests += [
        line.encode() + b"\r\n\r\n" for line in (path, f"{method}\t{path}", f"{method} {path}", f"{method} \0")
    ]
    for request in requests:
        with server.connect() as wire:
            answer = wire.send(request).finish().answer(head=request.startswith(b"HEAD"))
        clean(answer, *secrets)


def test_names_are_found_where_there_are_some() -> None:
    """The search would see them."""
    for text in (
        "foretell.serve.guard", "InvalidInput: no", "ModelDoor", "ValueError: x", "see /usr/lib/x", "at 0x7f0012ab",
        'File "x", line 3, in f', "msgspec.ValidationError", "a.py",
    ):  # fmt: skip
        assert INSIDE.search(text), text
    assert not INSIDE.search("input 'x' of model 'm': wrong shape; expected [-1, 1], got [1, 3]")


BROKEN_PY = b"""
class Broken:
    def predict(self, x: list[float]) -> list[float]:
        if x[0] == 1:
            raise ValueError(f"cannot open {__file__}")
        if x[0] == 2:
            return open("/etc/nothing/at/all").read()
        if x[0] == 3:
            return object()
        if x[0] == 4:
            raise KeyError(repr(object()))
        if x[0] == 5:
            raise ValueError(__file__ * 100)
        return [1.0] * 7


def stream(x: float):
    yield 1.0
    raise ValueError(f"cannot open {__file__}")
"""


def test_a_model_that_fails_is_told_as_that(folder: Path, serve_more: Manage) -> None:
    path = put(folder / "broken.py", BROKEN_PY)
    server = serve_more(f"b={path}:Broken", f"s={path}:stream")
    for value in range(1, 7):  # what its author wrote is told, but for places and addresses
        request = infer("b", [value], datatype="FP64", shape=[1])
        answer = server.ask(request)
        assert answer.status == 500
        text = answer.json["error"]
        assert not re.search(r"/etc|/tmp|/home|0x|Traceback|File\b|foretell", text), text
    answer = server.ask(http("POST", "/v2/models/s/generate_stream", b'{"x":1}'))
    assert b"error" in answer.body and str(folder).encode() not in answer.body


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04", b"\x80\x04K\x01.", b"{" * 100, b"\x08\x07" * 500])
def test_a_model_that_cannot_be_loaded_names_no_place(folder: Path, serve_more: Manage, content: bytes) -> None:
    server = serve_more(folder / "models")
    put(folder / "models/other/1/model.onnx", content)
    answer = server.load("other")
    assert answer.status == 400
    assert str(folder) not in answer.error and "/1/" not in answer.error
    (entry,) = [each for each in server.index() if each["name"] == "other"]
    assert str(folder) not in entry["reason"]
