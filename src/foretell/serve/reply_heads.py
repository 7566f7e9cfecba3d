"""The heads of most replies, remembered but for the id of the request, and the ids that we give."""

from __future__ import annotations

import os

from foretell.serve.messages import Reply, binary_reply, head_of

_MOST_LENGTHS = 4096
_BLOCK = 4096
_LENGTH = b"Content-Length: 1\r\n"


class ReplyHeads:
    """Heads of replies of status 200, JSON, on connections that stay open, by the length of the body.

    A request without an id of its own gets one: a prefix of this process and a count, since random bytes for each
    request would cost more than the rest of the head. Of the count, the last three digits (hexadecimal) stand in a
    table and all before them in the remembered heads, so that an id is the joining of two texts.
    """

    def __init__(self) -> None:
        self.named = 0
        """Replies to requests that had an id of their own."""
        self._process = os.urandom(5).hex()
        self._date = b""
        self._own: dict[int, bytes] = {}
        self._others: dict[int, bytes] = {}
        self._binary: dict[tuple[int, int], bytes] = {}
        self._ends = [b"%03x\r\n\r\n" % number for number in reversed(range(_BLOCK))]
        self._left: list[bytes] = []
        self._blocks = self._elsewhere = 0

    @property
    def count(self) -> int:
        """Heads that were given out."""
        return self._blocks * _BLOCK - len(self._left) - self._elsewhere + self.named

    def renew(self, date: bytes) -> None:
        """`date`: the line Date of every reply from now on."""
        self._date = date
        self._own.clear()
        self._others.clear()
        self._binary.clear()

    def own(self, length: int) -> bytes:
        """The whole head of a reply of `length` bytes, with an id of ours."""
        try:
            return self._own[length] + self._left.pop()
        except LookupError:  # a length that has no head yet, or the last id of a block is gone
            if not self._left:
                self._next_block()
            return self._remember(self._own, length, self._prefix) + self._left.pop()

    def of_bytes(self, length: int, text_length: int) -> bytes:
        """The whole head of a binary reply of `length` bytes, of which the first `text_length` are text."""
        key = length, text_length
        if not self._left:
            self._next_block()
        head = self._binary.get(key)
        if head is None:
            head = _head(binary_reply(b" ", text_length), length, self._date, self._prefix)
            if len(self._binary) < _MOST_LENGTHS:
                self._binary[key] = head
        return head + self._left.pop()

    def others(self, length: int, request_id: bytes) -> bytes:
        """The same with the id that the caller gave."""
        self.named += 1
        head = self._others.get(length)
        if head is None:
            head = self._remember(self._others, length, b"")
        return head + request_id + b"\r\n\r\n"

    def new_id(self) -> bytes:
        """An id for a request whose reply has another head."""
        if not self._left:
            self._next_block()
        self._elsewhere += 1
        return self._prefix + self._left.pop()[:-4]

    @property
    def _prefix(self) -> bytes:
        return b"%b-%x" % (self._process.encode(), self._blocks)

    def _next_block(self) -> None:
        self._blocks += 1
        self._left = self._ends.copy()
        self._own.clear()
        self._binary.clear()

    def _remember(self, heads: dict[int, bytes], length: int, begin: bytes) -> bytes:
        head = _head(Reply(b" "), length, self._date, begin)
        if len(heads) < _MOST_LENGTHS:
            heads[length] = head
        return head


def _head(reply: Reply, length: int, date: bytes, begin: bytes) -> bytes:
    """The head of a reply of `length` bytes up to its id, which begins with `begin`."""
    return head_of(reply, date, True, begin).replace(_LENGTH, b"Content-Length: %d\r\n" % length, 1)[:-4]
