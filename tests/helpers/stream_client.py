"""A client of server-sent events that looks at every byte of the framing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from wire import Wire, http


def ask_stream(model: str, given: Any, verb: str = "generate_stream", **options: Any) -> bytes:
    """A request of the generate extension."""
    return http("POST", f"/v2/models/{model}/{verb}", json.dumps(given).encode(), **options)


class Events:
    """The reply that comes next on a connection, which must be a stream in chunks."""

    def __init__(self, wire: Wire) -> None:
        self._file = wire._file
        line = self._file.readline()
        while line == b"HTTP/1.1 100 Continue\r\n":
            assert self._file.readline() == b"\r\n"
            line = self._file.readline()
        self.headers = dict(self._headers())
        assert line == b"HTTP/1.1 200 OK\r\n", (line, self.headers)
        assert self.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert self.headers["x-accel-buffering"] == "no"  # else nginx collects the events of HTTP/1.0
        assert "content-length" not in self.headers
        assert "content-encoding" not in self.headers
        self.ended = False

    def _headers(self) -> Iterator[tuple[str, str]]:
        while (line := self._file.readline()) != b"\r\n":
            assert line.endswith(b"\r\n"), f"a head that ends in {line!r}"
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(": ")
            yield name.lower(), value

    def next(self) -> Any:
        """The next event, parsed; None at the end of the reply."""
        assert self.headers["transfer-encoding"] == "chunked"
        while True:
            size_line = self._file.readline()
            assert size_line.endswith(b"\r\n"), f"broken off: {size_line!r}"
            size = int(size_line, 16)
            data = self._file.read(size)
            assert self._file.read(2) == b"\r\n"
            if not size:
                self.ended = True
                return None
            if data != b":\n\n":
                return event_of(data)

    def all(self) -> list[Any]:
        return list(iter(self.next, None))


def begun(wire: Wire, model: str, x: float, **more: Any) -> Events:
    """A stream of a model that counts to `x`, of which the first item has come. `more`: what else is asked for."""
    stream = Events(wire.send(ask_stream(model, {"x": x, **more})))
    assert stream.next()["y"] == 0
    return stream


def event_of(data: bytes) -> Mapping[str, Any]:
    assert data.startswith(b"data: "), data
    assert data.endswith(b"\n\n"), data
    assert b"\n" not in data[:-2]
    event: Mapping[str, Any] = json.loads(data[6:])
    return event


def outputs(events: list[Any], output: str = "y") -> list[Any]:
    return [event[output] for event in events]
