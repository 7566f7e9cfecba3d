"""A proxy in front of an HTTP server that lets requests fail as networks and servers do, by a seed."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from http_servers import ManyServer, QuietHandler

FAULTS = ("500", "503", "lost request", "lost answer", "cut body")
"""`lost request`: never reaches the server. `lost answer`: the server has done it, and nobody learns of it. One more is
`silence`: the request is taken, and no answer comes until the proxy is closed."""


class FaultProxy:
    """Forwards to `port` of this machine. A share `rate` of all requests ends with one of `faults`.

    `when`: only requests for which it holds, by method and path, may fail. `most`: so many faults at most.
    """

    def __init__(
        self,
        port: int,
        *,
        seed: int = 0,
        rate: float = 0.5,
        faults: Sequence[str] = FAULTS,
        when: Callable[[str, str], bool] = lambda method, path: True,
        most: int | None = None,
    ) -> None:
        self.upstream = port
        self.rate, self.faults, self.when, self.most = rate, faults, when, most
        self.met: Counter[str] = Counter()
        """How often each fault came, and "passed"."""
        self.closed = threading.Event()
        self._random, self._lock = random.Random(seed), threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._http = ManyServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def draw(self, method: str, path: str) -> str:
        """What happens to a request: "" for nothing."""
        with self._lock:
            spent = self.most is not None and self.met.total() - self.met["passed"] >= self.most
            fails = not spent and self.when(method, path) and self._random.random() < self.rate
            fault = self._random.choice(list(self.faults)) if fails else ""
            self.met[fault or "passed"] += 1
            return fault

    def close(self) -> None:
        self.closed.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(QuietHandler):
    owner: FaultProxy

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.owner.draw(self.command, self.path)
        if fault == "silence":
            self.owner.closed.wait()
        if fault in {"lost request", "silence"}:
            self._drop()
            return
        if fault in {"500", "503"}:
            content = b"<Error><Code>SlowDown</Code></Error>"
            self.send_response(int(fault))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            return
        status, headers, content = self._forwarded(body)
        if fault == "lost answer":
            self._drop()
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"server", "date", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut body":
            self.wfile.write(content[: len(content) // 2])
            self._drop()
        else:
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.owner.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _drop(self) -> None:
        """Ends the connection as a machine does that is gone: with a reset, and no answer."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
