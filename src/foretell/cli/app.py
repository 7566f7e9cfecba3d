"""Commands by name, and how each of them ends."""

from __future__ import annotations

import os
import sys
import warnings

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError

import foretell
from foretell.cli.notes import one_line, visible
from foretell.errors import InferenceError, InvalidSetting

_ABOUT = "One trained model, one answer: served online, scored in batches, from one definition."
_FLAGS = Parameter(negative=(), show_default=False)

app = App(name="foretell", help=_ABOUT, version=foretell.__version__, default_parameter=_FLAGS)
_COMMANDS = {
    "serve": ("MODEL...", "Serve models over HTTP."),
    "predict": ("MODEL DATA", "Answer the rows of a file, or of JSON on the command line."),
    "score": ("MODEL DATA -o OUT", "Score a data set: every row once, whatever crashes."),
    "retry": ("OUT", "Score the rows once more that a job has put aside."),
    "inspect": ("MODEL...", "Show what a model takes and gives, and a request to paste."),
    "config": ("[MODEL...]", "Show every setting, its value and where it came from."),
    "token": ("new --name NAME --scope SCOPE", "Make a token for a server that asks for one."),
    "demo": ("", "Make three small models, predict one by one and in batches, serve them, and compare."),
}
for _name, (_arguments, _help) in _COMMANDS.items():
    app.command(
        f"foretell.cli.{_name}:{_name}",
        name=_name,
        help=_help,
        usage=f"Usage: foretell {_name} [OPTIONS] {_arguments}".rstrip(),
    )


def run(arguments: list[str]) -> int:
    """Runs one command; every failure becomes one line on standard error and an exit code."""
    warnings.showwarning = one_line
    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _failed(_plain(error), 2)
    except InvalidSetting as error:
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


def _plain(error: CycloptsError) -> Exception:
    """What is missing or too much, in the words of the usage line; the parser's own words for the rest."""
    command = (error.command_chain or ("",))[0]
    usage = f"foretell {command} {_COMMANDS[command][0]}".strip() if command in _COMMANDS else ""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return InvalidSetting("there is an argument too many", expected=usage, got=repr(error.unused_tokens[0]))
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.keyword or error.argument.name
        if name.startswith("-"):
            return InvalidSetting(f"{name} needs a value", fix=f"see foretell {command} --help")
        return InvalidSetting(f"{name} is missing", expected=usage)
    return error


def _failed(error: Exception, code: int) -> int:
    print(f"foretell: {visible(' '.join(str(error).split()))}", file=sys.stderr)
    return code
