"""Commands by name, and how each of them ends."""

from __future__ import annotations

import os
import sys
import warnings

from cyclopts import App, CycloptsError

import foretell
from foretell.errors import InferenceError, InvalidSetting

_ABOUT = "One trained model, one answer: served online, scored in batches, from one definition."

app = App(name="foretell", help=_ABOUT, version=foretell.__version__)
for _name, _help in {
    "serve": "Serve models over HTTP.",
    "predict": "Answer the rows of a file, or of JSON on the command line.",
    "inspect": "Show what a model takes and gives, and a request to paste.",
    "config": "Show every setting, its value and where it came from.",
    "demo": "Train three small models, predict one by one and in batches, serve them, and compare.",
}.items():
    app.command(f"foretell.cli.{_name}:{_name}", name=_name, help=_help)


def run(arguments: list[str]) -> int:
    """Runs one command; every failure becomes one line on standard error and an exit code."""
    warnings.showwarning = _one_line
    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, InvalidSetting) as error:
        return _failed(error, 2)
    except InferenceError as error:
        return _failed(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has closed it; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(result or 0)


def _failed(error: Exception, code: int) -> int:
    print(f"foretell: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _one_line(message: Warning | str, *_: object, **__: object) -> None:
    print(f"foretell: warning: {message}", file=sys.stderr)
