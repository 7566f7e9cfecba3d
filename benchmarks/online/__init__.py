"""The claims of the online path, each beside its peers and the bare server: python -m benchmarks online[.CASE]."""

from __future__ import annotations

from benchmarks.online import threads, tiny

CASES = {"tiny": tiny.main, "thread": threads.main}
