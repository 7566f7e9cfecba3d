"""An open loop: requests leave when they are due, whatever became of those before.

A process of its own: it reads what to do as JSON from its standard input and writes what came of it, as JSON too. Each
latency counts from the moment at which the request was due and not from when it left, so that a server that stands
still cannot hold back the very requests that would have told of it ("coordinated omission").
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import re
import select
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RECEIVE = 1 << 16
FIRST = 64
"""Connections that are open before the first request is due."""
_MOST = 4096
_LAST_S = 10.0
"""How long to wait for the last answers."""


class _Link:
    """One connection, with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.busy = False
        self.received = b""

    def status(self) -> int | None:
        """Of the answer, once it is here whole. Raises ConnectionError where the server hangs up."""
        piece = self.socket.recv(_RECEIVE)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self.received += piece
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = _LENGTH.search(self.received, 0, end)
        if length is None:
            raise ConnectionError("an answer without a length")
        if len(self.received) < end + 4 + int(length[1]):
            return None
        status = int(self.received[9:12])
        self.received = b""
        return status


class Loop:
    def __init__(self, port: int, request: bytes) -> None:
        self._port, self._request = port, request
        self._epoll = select.epoll()
        self._links: dict[int, _Link] = {}
        self._idle: list[_Link] = []
        self.answers: list[tuple[float, float, int]] = []
        """When it was due, how long it took, and its status; 0 for a connection that broke."""
        self.late_s: list[float] = []
        for _ in range(FIRST):
            self._idle.append(self._open())

    def run(self, due: Sequence[float]) -> None:
        """The waits are exact to some microseconds: `select` counts in these, `epoll` only in milliseconds."""
        start, at = time.perf_counter(), 0
        end = (due[-1] if due else 0.0) + _LAST_S
        while at < len(due) or len(self._idle) < len(self._links):
            now = time.perf_counter() - start
            while at < len(due) and due[at] <= now and (self._idle or len(self._links) < _MOST):
                self._send(due[at], now)
                at += 1
            if now > end:
                break
            wait = end - now if at == len(due) or due[at] <= now else due[at] - now
            select.select([self._epoll], [], [], max(0.0, wait))
            for descriptor, _ in self._epoll.poll(0):
                self._receive(self._links[descriptor], start)
        self.answers += [(link.due, _LAST_S, 0) for link in self._links.values() if link.busy]
        self.answers += [(late, _LAST_S, 0) for late in due[at:]]

    def _send(self, due: float, now: float) -> None:
        link = self._idle.pop() if self._idle else self._open()
        link.due, link.busy = due, True
        self.late_s.append(now - due)
        try:
            link.socket.sendall(self._request)
        except OSError:
            self._drop(link)

    def _receive(self, link: _Link, start: float) -> None:
        if not link.busy:  # the server may close a connection that has nothing to do, with a word or without
            self._idle.remove(link)
            self._close(link)
            return
        try:
            status = link.status()
        except (OSError, ValueError):
            self._drop(link)
            return
        if status is not None:
            self.answers.append((link.due, time.perf_counter() - start - link.due, status))
            link.busy = False
            self._idle.append(link)

    def close(self) -> None:
        for link in self._links.values():
            link.socket.close()
        self._epoll.close()

    def _open(self) -> _Link:
        link = _Link(self._port)
        self._links[link.socket.fileno()] = link
        self._epoll.register(link.socket, select.EPOLLIN)
        return link

    def _drop(self, link: _Link) -> None:
        self.answers.append((link.due, 0.0, 0))
        self._close(link)

    def _close(self, link: _Link) -> None:
        del self._links[link.socket.fileno()]
        with contextlib.suppress(OSError):
            self._epoll.unregister(link.socket)
        link.socket.close()


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Arrival times of independent callers."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(1 / rate, round(rate * seconds * 1.5) + 100))
    return [float(each) for each in times[times < seconds]]


def main(order: dict[str, Any]) -> dict[str, Any]:
    loop = Loop(order["port"], base64.b64decode(order["request"]))
    due = poisson(order["rate"], order["seconds"], order["seed"])
    gc.disable()
    loop.run(due)
    loop.close()
    return {"answers": loop.answers, "late_s": loop.late_s}


if __name__ == "__main__":
    json.dump(main(json.load(sys.stdin)), sys.stdout)
