"""The part of a shard while it is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from foretell.batch.block import Scored
from foretell.batch.board import Lane
from foretell.batch.sinks.sink import Part
from foretell.batch.store import told
from foretell.columns import Batch


class Writing:
    """One thread at a time. What goes wrong waits for `check`; nothing is written after it."""

    def __init__(self, shard: int, path: Path, part: Part, lane: Lane) -> None:
        self.path, self.part, self.rows = path, part, 0
        self._shard, self._lane = shard, lane
        self._error: Exception | None = None

    def write(self, scored: Scored, shown: Callable[[Batch], Batch]) -> None:
        """Adds rows, with what is `shown` of their answer."""
        self._do(lambda: self.part.write(replace(scored, answer=shown(scored.answer))))
        self.rows += scored.rows

    def close(self) -> None:
        """There are no more rows."""
        self._do(self.part.close)

    def check(self) -> None:
        """Raises what went wrong, such as `NoRoom`."""
        if self._error is not None:
            raise self._error

    def discard(self) -> None:
        """The file is not needed any more; harmless where it is gone."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _do(self, step: Callable[[], None]) -> None:
        if self._error is not None:
            return
        try:
            self._lane.enter("write", self._shard)
            with told(self.path):
                step()
        except Exception as error:
            self._error = error
        finally:
            self._lane.rest()
