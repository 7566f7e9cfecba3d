"""Requests that a server knows by all of their bytes but the numbers, as tests teach them to it."""

from __future__ import annotations

from serving import Running
from wire import Answer, Wire

from foretell.serve.patterns import Patterns


def patterns(server: Running) -> Patterns:
    return server.application.server.patterns


def teach(wire: Wire, request: bytes, server: Running) -> Answer:
    """Sends it until all that can be remembered of it is; the last answer."""
    for _ in range(4):
        answer = wire.send(request).answer()
        assert answer.status == 200, answer.body
    assert len(patterns(server)) == 1
    return answer
