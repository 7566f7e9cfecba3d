"""The command line: the only place where the rooms are wired together."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    from foretell.cli.early import started

    words = sys.argv[1:] if arguments is None else list(arguments)
    with started(words):
        from foretell.cli.app import run

        return run(words)


def entry() -> None:
    """The `foretell` program."""
    code = main()
    gc.freeze()  # all of it goes now: looking it through for garbage first would take as long as a short command
    sys.exit(code)
