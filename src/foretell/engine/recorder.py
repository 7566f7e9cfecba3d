"""What the engine tells about its work, once per batch. `observe` listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Recorder(Protocol):
    """All times in seconds of the engine's clock."""

    def completed(self, arrivals: Sequence[float], rows: int, started: float, finished: float, padded: int = 0) -> None:
        """A batch of `len(arrivals)` requests and `rows` rows ran from `started` to `finished`; `padded`: elements
        that its rows were filled up with, to have one length."""
        ...

    def answered(self, arrivals: Sequence[float], finished: float) -> None:
        """Requests that the cache had a share in were answered at `finished`; `completed` told of their other rows."""
        ...

    def failed(self, code: str, requests: int = 1) -> None:
        """`requests` ended in an error of this code."""
        ...

    def cache(self, hits: int, misses: int) -> None:
        """Rows that were answered by the cache, and rows that were not."""
        ...

    def first_item(self, arrived: float, at: float) -> None:
        """The first item of a stream that was accepted at `arrived` came at `at`."""
        ...

    def streamed(self, arrived: float | None, finished: float, items: int, rows: int) -> None:
        """A stream ended, after so many items and rows. `arrived` None: not well; `failed` tells how."""
        ...


class NoRecorder:
    """Listens to nothing."""

    def completed(
        self, arrivals: Sequence[float], rows: int, started: float, finished: float, padded: int = 0
    ) -> None: ...

    def answered(self, arrivals: Sequence[float], finished: float) -> None: ...

    def failed(self, code: str, requests: int = 1) -> None: ...

    def cache(self, hits: int, misses: int) -> None: ...

    def first_item(self, arrived: float, at: float) -> None: ...

    def streamed(self, arrived: float | None, finished: float, items: int, rows: int) -> None: ...
