"""The command line: the only place where the rooms are wired together."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence

_STANDARD = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    from foretell.cli.early import started

    words = sys.argv[1:] if arguments is None else list(arguments)
    with started(words):
        from foretell.cli.app import run

        return run(words)


def entry() -> None:
    """The `foretell` program."""
    _open_standard()
    try:
        code = main()
    except KeyboardInterrupt:  # while the command itself was still being imported
        code = 130
    try:
        sys.stderr.flush()
    except OSError:  # what nobody could be told is no failure of the command: Python would make it one at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    except ValueError:  # closed by a model, say, which may do anything
        pass
    gc.freeze()  # all of it goes now: looking it through for garbage first would take as long as a short command
    sys.exit(code)


def _open_standard() -> None:
    """Opens those of the three standard streams that were closed, as some schedulers leave them, to nothing: else the
    next file that is opened gets its number, and what is printed goes there. A name that the others cannot carry,
    since they are of another encoding than UTF-8, say, is written with escapes."""
    for number, (name, mode) in enumerate(_STANDARD):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (open until the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
