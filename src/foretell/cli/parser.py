"""The parser of command lines: it knows help, every way to write a flag, and what to say of what is wrong."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError

import foretell
from foretell.cli.flag import Command, Flag, kind_of, parts_of
from foretell.cli.flags import shown
from foretell.config_checks import is_size, size_of
from foretell.errors import InvalidSetting

_ABOUT = "One trained model, one answer: served online, scored in batches, from one definition."
_FLAGS = Parameter(negative=(), show_default=False)


def call(commands: Mapping[str, Command], words: Sequence[str], function: Callable[..., Any] | None) -> Any:
    """Runs the command that `words` name, `function` where it is known already; what it returns.

    Raises `InvalidSetting` for wrong use, and what the command raises.
    """
    app = app_of(commands, words[0] if words else "", function)
    try:
        return app(list(words), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise _plain(error, commands) from None


def app_of(commands: Mapping[str, Command], name: str, function: Callable[..., Any] | None) -> App:
    """The parser of all commands. `function`: what the command `name` does; the others are imported if need be."""
    app = App(name="foretell", help=_ABOUT, version=foretell.__version__, default_parameter=_FLAGS)
    for each, (arguments, about) in commands.items():
        app.command(
            _told(function) if function is not None and each == name else f"foretell.cli.{each}:{each}",
            name=each, help=about, usage=f"Usage: foretell {each} [OPTIONS] {arguments}".rstrip(),
        )  # fmt: skip
    return app


def _plain(error: CycloptsError, commands: Mapping[str, Command]) -> InvalidSetting:
    """What is missing or too much, in the words of the usage line; the parser's own words for the rest."""
    command = (error.command_chain or ("",))[0]
    usage = f"foretell {command} {commands[command].arguments}".strip() if command in commands else ""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return InvalidSetting("there is an argument too many", expected=usage, got=repr(error.unused_tokens[0]))
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.keyword or error.argument.name
        if name.startswith("-"):
            return InvalidSetting(f"{name} needs a value", fix=f"see foretell {command} --help")
        return InvalidSetting(f"{name} is missing", expected=usage)
    return InvalidSetting(str(error))


@cache
def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, and the parser knows of its flags what we know."""
    hints: dict[str, Any] = typing.get_type_hints(function, include_extras=True)
    function.__annotations__ = {name: _with_parameter(name, hint) for name, hint in hints.items()}
    for hint in hints.values():
        if is_dataclass(hint):
            _tell_group(typing.cast("Any", hint))
    return function


@cache
def _tell_group(cls: Any) -> None:
    group, settings = cls.shown_as
    defaults = {field.name: field.default for field in fields(settings)} if settings else {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        cls.__annotations__[name] = _with_parameter(name, hint, defaults.get(name))
    Parameter(name="*", group=group)(cls)


def _with_parameter(name: str, hint: Any, default: Any = None) -> Any:
    """`default`: what it means that the flag is not given, where help is to say so."""
    if is_dataclass(hint) or hint is type(None):
        return hint
    bare, flag = parts_of(hint)
    flag = flag or Flag()
    known: dict[str, Any] = {"allow_leading_hyphen": flag.dash}
    if flag.names:
        known["name"] = flag.names
    if flag.negative:
        known["negative"] = flag.negative
    if kind_of(bare).type is int:
        known["converter"] = _size if is_size(name) else _whole
    if default is not None and default is not False and default != ():
        known["show_default"] = shown(default)
    return Annotated[hint, Parameter(**known)]


def _whole(_: Any, tokens: Sequence[Any]) -> int:
    """A whole number; `1.5` is none, and is not rounded."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise InvalidSetting("wrong value", where=tokens[0].keyword or "", expected="a whole number",
                             got=repr(tokens[0].value)) from None  # fmt: skip


def _size(_: Any, tokens: Sequence[Any]) -> int:
    """Bytes, with a unit or without."""
    return size_of(tokens[0].value, "", tokens[0].keyword or "a size")
