"""A job that is told to end, as a scheduler tells it, ends as with Ctrl-C: it leaves its report and frees its lock."""

from __future__ import annotations

import signal
import types
from collections.abc import Iterator
from contextlib import contextmanager

_TOLD_BY = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def like_ctrl_c() -> Iterator[None]:
    """Raises `KeyboardInterrupt` within, and at the end `SystemExit` with the code that a shell knows the signal by.

    A signal that is ignored already stays so: `nohup` means it.
    """
    told: list[int] = []

    def end(number: int, frame: types.FrameType | None) -> None:
        told.append(number)
        raise KeyboardInterrupt

    before = [(number, signal.signal(number, end)) for number in _TOLD_BY if signal.getsignal(number) is signal.SIG_DFL]
    try:
        yield
    except KeyboardInterrupt:
        if told:
            raise SystemExit(128 + told[0]) from None
        raise
    finally:
        for number, handler in before:
            signal.signal(number, handler)
