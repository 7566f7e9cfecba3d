"""Commands by name, and how each of them ends."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from foretell.cli.flag import Command
from foretell.cli.notes import one_line, visible
from foretell.cli.plain import read
from foretell.errors import InferenceError, InvalidSetting

COMMANDS = {
    "serve": Command("MODEL...", "Serve models over HTTP."),
    "predict": Command("MODEL DATA", "Answer the rows of a file, or of JSON on the command line."),
    "score": Command("MODEL DATA -o OUT", "Score a data set: every row once, whatever crashes."),
    "retry": Command("OUT", "Score the rows once more that a job has put aside."),
    "stream": Command("MODEL", "Answer events as they come, each once, from file to file or through a pipe."),
    "inspect": Command("MODEL...", "Show what a model takes and gives, and a request to paste."),
    "bench": Command("MODEL", "Measure a model here, one by one, micro-batched and batched, and say what to set."),
    "verify": Command("MODEL --data SAMPLE", "Compare the answers to the same rows through every door."),
    "config": Command("[MODEL...]", "Show every setting, its value and where it came from."),
    "token": Command("new --name NAME --scope SCOPE", "Make a token for a server that asks for one."),
    "demo": Command("", "Make small models, predict one by one and in batches, serve them, compare, and prove."),
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def run(arguments: list[str]) -> int:
    """Runs one command; every failure becomes one line on standard error and an exit code."""
    warnings.showwarning = one_line
    try:
        result = _call(arguments)
        if not sys.stdout.closed:  # by a model, say, which may do anything
            sys.stdout.flush()
    except InvalidSetting as error:
        return _failed(error, 2)
    except InferenceError as error:
        return _failed(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has closed it; Python would complain once more when it flushes at the end.
        return _silent(1)
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        return _silent(_failed(InferenceError(f"standard output cannot be written: {error.strerror}"), 1))
    return int(result or 0)


def command(name: str) -> Callable[..., Any]:
    """What one of the commands does."""
    function: Callable[..., Any] = getattr(importlib.import_module(f"foretell.cli.{name}"), name)
    return function


def _call(arguments: list[str]) -> Any:
    function = command(arguments[0]) if arguments and arguments[0] in COMMANDS else None
    if function is not None and (plain := read(function, arguments[1:])):
        return plain()
    from foretell.cli import parser

    return parser.call(COMMANDS, arguments, function)


def _failed(error: Exception, code: int) -> int:
    with suppress(OSError):
        print(f"foretell: {visible(' '.join(str(error).split()))}", file=sys.stderr, flush=True)
    return code


def _silent(code: int) -> int:
    """What is not printed yet goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
