"""A process that scores, from its start on: before anybody knows for what, and as long as anybody needs it.

Imports little, so that starting one can be the first that a command does: what the process imports itself takes longer
than all else until the first row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack

from foretell.remote.start import start

AT_FIRST = 4
"""Processes at most before the number of shards is known: on a machine of many cores most jobs need no more of them."""

_CHILD = "foretell.batch.child"
_END_S = 10.0


class Seat:
    """`board`: the descriptor of the memory for `batch.board`; `connection`: to the process. One thread calls it."""

    def __init__(self, number: int, hints: Sequence[str] = ()) -> None:
        """`hints`: modules that it will need. Raises `Unavailable` where no process can be started."""
        self.number = number
        with ExitStack() as ours:
            self.board = memory_file()
            ours.callback(os.close, self.board)
            self.connection, self.process = start(_CHILD, f"score-{number}", ours, _nothing, (self.board,), hints)
            self._held = ours.pop_all()

    def close(self) -> None:
        """Ends the process, if it has not ended, and gives back what was shared. Harmless when it was done before."""
        self.process.kill()
        self.process.join(_END_S)
        self._held.close()


def close_all(seats: Sequence[Seat]) -> None:
    """Ends them all, and then waits."""
    for seat in seats:
        seat.process.kill()
    for seat in seats:
        seat.close()


def memory_file() -> int:
    """A file without a name, in memory where the system can do that. Its descriptor belongs to the caller."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("foretell-board")
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix="foretell-board-")
    os.unlink(path)
    return descriptor


def _nothing() -> None:
    """Who listens to the process learns of its end there, after all that it had said."""
