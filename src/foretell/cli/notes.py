"""Lines for people on standard error."""

from __future__ import annotations

import sys

STOPPING = "stopping: answering what was accepted"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def one_line(message: Warning | str, *_: object, **__: object) -> None:
    """Shows a warning, as `warnings.showwarning`."""
    say(f"foretell: warning: {message}")
