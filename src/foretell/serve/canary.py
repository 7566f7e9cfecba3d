"""A share of the requests that name no version goes to another one, which is to show there what it is worth."""

from __future__ import annotations

import hashlib
import random

from foretell.serve.exchange import Exchange
from foretell.serve.messages import own_request_id
from foretell.serve.routes import Handler
from foretell.serve.shares import Share


class Canary:
    """One version of a model that answers a share of the requests."""

    def __init__(self, share: Share) -> None:
        self.name, self.version, self.share = share
        self._random = random.Random()

    def chooses(self, request_id: bytes | None) -> bool:
        """Whether the next request is one of the share. For one id it always says the same, in every process."""
        if request_id is None:
            return self._random.random() < self.share
        digest = hashlib.blake2b(request_id, digest_size=8, key=self.name.encode()[:64]).digest()
        return int.from_bytes(digest) < self.share * 2**64

    def split(self, ours: Handler, others: Handler) -> Handler:
        """Gives each request to one of two versions: to `ours` where it is of the share."""

        def answer(exchange: Exchange) -> None:
            (ours if self.chooses(own_request_id(exchange.headers)) else others)(exchange)

        return answer
