"""`foretell token new`."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

from foretell.cli.flag import Flag
from foretell.cli.notes import one_line
from foretell.cli.output import print_json
from foretell.config import Layer, ServerSettings, environment, resolve, toml_layer
from foretell.errors import InvalidSetting
from foretell.repository.settings import PROJECT_FILE
from foretell.serve.token_file import added, new


def token(
    action: Annotated[Literal["new"], Flag(("ACTION",))],
    /,
    *,
    name: str,
    scope: tuple[Literal["infer", "manage", "metrics"], ...],
    rate_per_s: float | None = None,
    burst: int | None = None,
    tokens_file: str | None = None,
    json: bool = False,
) -> None:
    """Make a token that lets its holder in, and show it this once.

    With a file of tokens, from the flag or the settings, the file learns its SHA-256, and standard output has the token
    alone. Without one, what a file needs is printed too.

    Parameters
    ----------
    action
        new: a fresh token.
    name
        Whom it is for; letters, digits and ._-
    scope
        What it allows; repeat the flag for more.
    rate_per_s
        Most requests each second. If not set: any number.
    burst
        Requests that may come at once after a rest. If not set: those of one second.
    tokens_file
        The file to add it to. It is made where it is missing, for nobody else to read.
    json
        Print JSON.
    """
    if not scope:
        raise InvalidSetting("--scope is missing", expected="infer, manage or metrics")
    flag = [] if tokens_file is None else [Layer("--tokens-file", {"tokens_file": tokens_file})]
    project = toml_layer(Path(PROJECT_FILE), "server")
    path = resolve(ServerSettings, [*flag, *environment(ServerSettings, os.environ), project]).settings.tokens_file
    secret, table = new(name, tuple(dict.fromkeys(scope)), rate_per_s, burst)
    with added(Path(path), table) if path is not None else nullcontext("") as warning:
        if json:
            print_json({"token": secret, "name": name, "tokens_file": path, "table": table})
        else:
            print(secret if path is not None else f"{secret}\n\n{table}", end="\n" if path is not None else "")
        sys.stdout.flush()
    if warning:
        one_line(warning)
    if path is not None:
        held = f"added to {path}: {name}, for {', '.join(dict.fromkeys(scope))}"
        print(f"{held}; a server that runs takes it at SIGHUP", file=sys.stderr)
