"""Class of holes: a request that takes memory or time without end. On every route memory is bounded, and others are
answered meanwhile.

The server is a process of its own, whose peak of memory is looked at after everything has been tried.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from program import Server
from repositories import Managed, put, times
from routes import PATHS, POSTS, ROUTES, STREAM_PY
from wire import Answer, Wire, http, infer, values

MOST_BYTES = 4 * 2**20
ROOM_BYTES = 192 * 2**20
"""How far memory may rise above that of a server that has answered, whatever number of requests there were. JSON of
4 MiB can be objects of 70 MiB, and what was taken for them is not all given back."""
CHUNKS = 3_000_000
TENSOR = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves `m`, and `s` that streams."""
    folder = tmp_path_factory.mktemp("attacked")
    put(folder / "models/m/1/model.onnx", times(2))
    put(folder / "stream.py", STREAM_PY)
    limits = ("--max-body-bytes", MOST_BYTES, "--max-connections", 3000)
    server = Server("models", "s=stream.py:spell", *limits, cwd=folder)
    try:
        answers(server)
        before = memory(server, "VmRSS")
        yield server
        answers(server)
        assert memory(server, "VmHWM") - before < ROOM_BYTES
        with Wire(server.port) as wire:
            text = wire.send(http("GET", "/metrics")).answer().body.decode()
        assert "foretell_http_held_body_bytes 0.0" in text
        assert re.search(r'^foretell_queue_rows\{model="m",version="1"\} 0(\.0)?$', text, re.MULTILINE)
        server.stop()
        assert server.end() == 0
    finally:
        server.kill()


def memory(server: Server, which: str) -> int:
    """Bytes; `which` as in /proc/PID/status. Where there is none, what the process has now."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return int(psutil.Process(server.process.pid).memory_info().rss)
    line = next(line for line in status.read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024


def answers(server: Server) -> None:
    """Another client gets its answer."""
    with Wire(server.port) as wire:
        assert values(wire.send(infer("m", [3])).answer()) == [6]


def refused(server: Server, request: bytes) -> Answer | None:
    """The answer, which is no mistake of the server's; None where it had closed before all was sent."""
    with Wire(server.port) as wire:
        try:
            answer = wire.send(request).answer()
        except (ConnectionError, AssertionError):
            return None
    assert 400 <= answer.status < 500 or answer.status in (501, 503), answer
    assert answer.error
    return answer


def bounded(server: Server, path: str, value: object) -> None:
    """What has another meaning on this route, or none, may be harmless there; a tensor never is."""
    body = written(value)
    assert len(body) < MOST_BYTES
    with Wire(server.port) as wire:
        answer = wire.send(http("POST", path, body)).answer()
    assert answer.status < 500 or answer.status == 501, body[:60]
    assert answer.status >= 400 or not path.endswith("/infer"), body[:60]
    assert len(answer.body) < 10_000


def written(value: object) -> bytes:
    """JSON of numbers that no type of orjson holds, too."""
    return json.dumps(value).encode()


def send_endlessly(server: Server, start: bytes, piece: bytes, most: int) -> None:
    """Sends `piece` again and again until the server wants no more of it."""
    with Wire(server.port) as wire:
        wire.send(start)
        with contextlib.suppress(ConnectionError):
            for _ in range(most // len(piece)):
                wire.socket.sendall(piece)
            wire.finish()
        with contextlib.suppress(ConnectionError):
            assert wire.rest()[:12] in (b"", b"HTTP/1.1 431", b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 405")
    answers(server)


def tiny_chunks(server: Server, method: str, path: str, count: int) -> None:
    with Wire(server.port) as wire:
        wire.send(http(method, path, headers={"Transfer-Encoding": "chunked"}))
        piece = b"1\r\nx\r\n" * 20_000
        with contextlib.suppress(ConnectionError):
            for _ in range(count // 20_000):
                wire.send(piece)
            wire.send(b"0\r\n\r\n")
        with contextlib.suppress(ConnectionError, AssertionError):  # refused before it had sent all
            assert wire.answer().status < 500
    answers(server)


@pytest.mark.parametrize("request_line", ROUTES)
def test_bodies_in_chunks_of_one_byte(attacked: Server, request_line: str) -> None:
    """Three million on all routes together; on each of them in the soak."""
    tiny_chunks(attacked, *request_line.split(), count=CHUNKS // len(ROUTES))


def test_three_megabytes_in_chunks_of_one_byte(attacked: Server) -> None:
    tiny_chunks(attacked, "POST", "/v2/models/m/infer", CHUNKS)


@pytest.mark.soak
@pytest.mark.parametrize("request_line", ROUTES)
def test_three_megabytes_in_chunks_of_one_byte_on_every_route(attacked: Server, request_line: str) -> None:
    tiny_chunks(attacked, *request_line.split(), count=CHUNKS)


@pytest.mark.parametrize("request_line", ROUTES)
def test_heads_without_end(attacked: Server, request_line: str) -> None:
    method, path = request_line.split()
    line = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    begun = line + b"Transfer-Encoding: chunked\r\n\r\n"
    for start, piece in (
        (line + b"X: ", b"y" * 65536), (line, b"X: y\r\n" * 10_000), (line + b"Cookie: ", b"a=b; " * 10_000),
        (f"{method} {path}?".encode(), b"y" * 65536), (b"\r\n" + line, b"X:\r\n" * 10_000),
        (begun + b"1;", b"y" * 65536), (begun + b"0\r\nX: ", b"y" * 65536), (begun + b"0" * 10, b"0" * 65536),
        (line + b"Content-Type: multipart/form-data; boundary=", b"-" * 65536),
    ):  # fmt: skip
        send_endlessly(attacked, start, piece, 2**20)


DEEP = [
    b"[" * 200_000, b'{"a":' * 200_000, b'{"inputs":' + b"[" * 200_000, b'{"parameters":{"a":' + b"[" * 200_000,
    b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":' + b"[" * 99_999 + b"]" * 99_999 + b"}]}",
    b'{"id":' * 1000 + b"1" + b"}" * 1000, b'{"text":' + b"[" * 1000 + b"]" * 1000 + b"}", b"[[]," * 100_000,
]  # fmt: skip
HUGE: list[object] = [
    {"inputs": [{**TENSOR, "shape": shape}]}
    for shape in (
        [2**63], [2**63 - 1, 1], [2**64], [2**32, 2**32], [2**31, 2**31, 2**31], [-(2**63)], [-1, -1], [0, 2**63],
        [1] * 1000, [2**62, 4], [1e300], [1.5], ["1" * 10_000], [10**400], [[1]], {}, 2**63,
    )
] + [
    {"inputs": [{**TENSOR, "data": data, "shape": [1, 1]}]}
    for data in ([10**400], [0] * 500_000, ["9" * 1_000_000], [[[[0]] * 1000] * 100], [{}] * 100_000)
] + [
    {"inputs": [TENSOR] * 20_000}, {"inputs": [TENSOR], "outputs": [{"name": "y"}] * 50_000},
    {"inputs": [TENSOR], "parameters": {"timeout": 10**400}},
    {f"key{number}": number for number in range(100_000)}, {"text": ["a"] * 300_000}, {"text": [["a"] * 1000] * 100},
    {"ready": 2**70}, {"parameters": {str(number): number for number in range(100_000)}},
    [[0] * 1000] * 500, "a" * 3_000_000, "\\\"" * 500_000,
]  # fmt: skip


@pytest.mark.parametrize("path", POSTS)
def test_json_without_bottom_and_sizes_beyond_all_memory(attacked: Server, path: str) -> None:
    for body in DEEP:
        assert refused(attacked, http("POST", path, body)) is not None, body[:60]
    for value in HUGE:
        bounded(attacked, path, value)
    answers(attacked)


@pytest.mark.parametrize("path", POSTS)
def test_sizes_of_binary_tensors_are_checked_before_anything_is_taken(attacked: Server, path: str) -> None:
    """Bounds and overflows, as memory shared with others had them: there is no such memory here, only the body."""
    for size in (2**63, 2**64 - 1, 2**31, -1, 1e300, "4", [4], None, 5, 3, 0):
        for shape in ([1, 1], [2**62, 4], [2**63]):
            tensor = {"name": "x", "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": size}}
            text = written({"inputs": [tensor]})
            right = size == 4 and shape == [1, 1]
            for split in (len(text), 0, 1, -1, "9" * 18, "9" * 30, "abc", "1e3", "0x10", ""):
                request = http("POST", path, text + b"\0" * 4, {"Inference-Header-Content-Length": split})
                assert right or refused(attacked, request) is not None, (size, split)
    for kind in ("system_shared_memory", "shared_memory_region"):
        region = {kind: "r", "shared_memory_offset": 2**63, "shared_memory_byte_size": 2**63}
        told = {"name": "x", "shape": [1, 1], "datatype": "FP32", "parameters": region}  # and no data
        bounded(attacked, path, {"inputs": [told]})


@pytest.fixture(scope="module")
def bombs() -> list[bytes]:
    """200 MB, packed once and twice."""
    once = gzip.compress(b" " * 200_000_000, 6)
    return [once, gzip.compress(once, 6)]


@pytest.mark.parametrize("path", POSTS)
def test_what_unfolds_to_more_than_allowed(attacked: Server, bombs: list[bytes], path: str) -> None:
    for body in bombs:
        for encoding in ("gzip", "deflate", "gzip, gzip"):
            assert refused(attacked, http("POST", path, body, {"Content-Encoding": encoding})) is not None
    answers(attacked)


@pytest.mark.parametrize("request_line", ROUTES)
def test_requests_without_end_to_which_nobody_reads_the_answers(attacked: Server, request_line: str) -> None:
    method, path = request_line.split()
    block = http(method, path, b"{}" if method == "POST" else b"") * 200
    with Wire(attacked.port, receive_buffer=4096) as wire:
        wire.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(200):
                wire.socket.sendall(block)
        answers(attacked)


def test_slow_clients_by_the_thousand(attacked: Server) -> None:
    """Each holds half a request, of every route in turn; a claimed body takes no memory."""
    begun = []
    try:
        for number in range(1000):
            path = PATHS[number % len(PATHS)]
            head = http("POST", path, headers={"Content-Length": MOST_BYTES})
            begun.append(socket.create_connection(("127.0.0.1", attacked.port)))
            begun[-1].sendall(head[: 30 if number % 2 else len(head)] + b"{" * (number % 4 == 0))
        answers(attacked)
    finally:
        for each in begun:
            each.close()


@pytest.mark.parametrize("request_line", ROUTES)
def test_a_slow_client_has_its_time_on_every_route(server: Managed, request_line: str) -> None:
    method, path = request_line.split()
    with server.connect() as slow, server.connect() as slower:
        slow.send(f"{method} {path} HTTP/1.1\r\nHo".encode())
        slower.send(http(method, path, headers={"Content-Length": 4}) + b"{")
        connections = server.application.server._connections
        server.until(lambda: len(connections) == 2)
        server.until(lambda: sorted(each.state for each in connections) == ["body", "head"])
        server.expire(12)
        assert (slow.answer().status, slow.finish().closed) == (408, True)
        server.expire(62)
        assert (slower.answer().status, slower.finish().closed) == (408, True)
