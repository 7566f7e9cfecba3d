"""How large the answer to a request may be, before it is there: what a server learns from answers before it."""

from __future__ import annotations

from foretell.serve.exchange import Exchange

_MOST_TARGETS = 1024
_LONGEST_TARGET = 256
_LEAST_BYTES = 64
"""Each request counts as at least so large: answers have heads, and some need no body to be asked for."""
_ANSWERED = b"HTTP/1.1 200"


class AnswerSizes:
    """The most bytes of answer that a byte of request had so far, for targets that have had a large answer."""

    def __init__(self) -> None:
        self._growth: dict[bytes, float] = {}

    def learn(self, exchange: Exchange) -> None:
        """Its reply is there. Errors say nothing of the answers to come."""
        url, out = exchange.url, exchange.out
        if out is None or len(url) > _LONGEST_TARGET or not out.startswith(_ANSWERED):
            return
        growth = len(out) / (_LEAST_BYTES + len(exchange.body))
        if growth > self._growth.get(url, 0.0):
            if len(self._growth) >= _MOST_TARGETS:
                self._growth.clear()
            self._growth[url] = growth

    def fits(self, exchange: Exchange, begun: int, most_bytes: int) -> bool:
        """Whether its answer and as many others like it as are `begun` are within `most_bytes`.

        A target that has never had a large answer always fits, and so does whatever is alone.
        """
        growth = self._growth.get(exchange.url)
        if growth is None or not begun:
            return True
        return growth * (_LEAST_BYTES + len(exchange.body)) * (begun + 1) <= most_bytes
