"""A client of bare bytes: sends what it is told, in the pieces it is told, and reads replies strictly."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

WAIT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """One reply. `headers` has lower-case names, and is a list so that a repeated header is seen."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for known, value in self.headers if known == name.lower()]
        assert len(values) < 2, f"{name} is there twice"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of an error reply, checked to be what the protocol has, and a code."""
        assert self.status >= 400, (self.status, self.body)
        assert self.header("content-type") == "application/json"
        assert list(self.json) == ["error", "code"]
        assert re.fullmatch("[a-z_]+", self.json["code"])
        text = self.json["error"]
        assert isinstance(text, str)
        assert text
        assert "\n" not in text
        for internal in ("Traceback", 'File "', ".py", "site-packages", "0x7f", "<foretell"):
            assert internal not in text, text
        assert len(text) < 2000, len(text)
        return text


class Wire:
    """One connection. Every wait has an end, so that a server that hangs fails the test."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        path: str | None = None,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        """`path`: of a Unix socket, instead of a port."""
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WAIT_S)
        try:
            self.socket.connect(path or (host, port))
            if not path:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        except BaseException:
            self.socket.close()
            raise
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> Wire:
        self.socket.sendall(data)
        return self

    def trickle(self, pieces: Iterable[bytes]) -> Wire:
        """One packet for each piece."""
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def finish(self) -> Wire:
        """Closes the sending side only."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def answer(self, *, head: bool = False) -> Answer:
        """The next reply; interim 1xx replies are skipped. `head`: it answers HEAD, so no body follows."""
        while True:
            answer = self._one(head)
            if answer.status >= 200:
                return answer

    def interim(self) -> Answer:
        """The next reply, which must be a 1xx."""
        answer = self._one(head=True)
        assert answer.status < 200, answer
        return answer

    def _one(self, head: bool) -> Answer:
        line = self._file.readline()
        assert line.endswith(b"\r\n"), f"no reply, but {line!r}"
        version, status, _ = line.decode("ascii").split(" ", 2)
        assert version == "HTTP/1.1", line
        headers = []
        while (line := self._file.readline()) != b"\r\n":
            assert line.endswith(b"\r\n"), f"a head that ends in {line!r}"
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(": ")
            headers.append((name.lower(), value))
        lengths = [int(value) for name, value in headers if name == "content-length"]
        if ("transfer-encoding", "chunked") in headers and not lengths:
            return Answer(int(status), headers, b"" if head else b"".join(self._chunks()))
        assert len(lengths) == (0 if int(status) < 200 or int(status) == 204 else 1), headers
        size = 0 if head or not lengths else lengths[0]
        body = self._file.read(size)
        assert len(body) == size, "the reply is cut off"
        return Answer(int(status), headers, body)

    def _chunks(self) -> Iterator[bytes]:
        size = -1
        while size:
            size = int(self._file.readline(), 16)
            chunk = self._file.read(size + 2)
            assert chunk[size:] == b"\r\n", "the reply is cut off"
            yield chunk[:size]

    def rest(self) -> bytes:
        """Everything until the server closes."""
        return self._file.read()

    @property
    def closed(self) -> bool:
        """Whether the server closes, with nothing more to say. Waits for it."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def http(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, object] | None = None, version: str = "1.1"
) -> bytes:
    """A request, with Content-Length where it has a body and `headers` say none."""
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost"]
    if body and "Content-Length" not in (headers or {}):
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(path: str, pieces: Iterable[bytes], trailer: bytes = b"") -> bytes:
    """A POST in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return http("POST", path, headers={"Transfer-Encoding": "chunked"}) + body + b"0\r\n" + trailer + b"\r\n"


def infer_body(data: list[Any], **changes: Any) -> bytes:
    """A request to a model of one input `x`, FP32 [rows, 1], one row for each value; `changes` to the input."""
    tensor = {"name": "x", "shape": [len(data), 1], "datatype": "FP32", "data": data, **changes}
    return json.dumps({"inputs": [tensor]}).encode()


def infer(model: str, data: list[Any], headers: Mapping[str, object] | None = None, **changes: Any) -> bytes:
    """The whole request of `infer_body`."""
    return http("POST", f"/v2/models/{model}/infer", infer_body(data, **changes), headers)


def values(answer: Answer, output: str = "y") -> list[Any]:
    """The data of an output of a good reply."""
    assert answer.status == 200, answer.body
    return next(each["data"] for each in answer.json["outputs"] if each["name"] == output)  # type: ignore[no-any-return]
