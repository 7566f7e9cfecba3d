"""What stands beside the type of a flag, told without the parser of command lines: it takes longer to import than many
a command takes to run."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeVar

GroupT = TypeVar("GroupT")


class Flag(NamedTuple):
    """Of an argument or a flag, in its `Annotated` type.

    `names`: other than what follows from its own. `negative`: a flag that means the opposite. `dash`: its value may
    begin with one.
    """

    names: tuple[str, ...] = ()
    negative: str = ""
    dash: bool = False


class Flags(NamedTuple):
    """Decorates a class whose fields are flags: help shows them in one group, with the defaults of `settings`."""

    group: str
    settings: type[Any] | None = None

    def __call__(self, cls: type[GroupT]) -> type[GroupT]:
        cls.shown_as = self  # type: ignore[attr-defined]
        return cls


class Command(NamedTuple):
    """What help says of a command."""

    arguments: str
    help: str


class Kind(NamedTuple):
    """What one value is: a `type`, or one of `choices`; `several` where the flag may be repeated."""

    type: Any
    several: bool
    choices: tuple[str, ...]


def spelled(name: str, flag: Flag | None) -> Sequence[str]:
    """How a flag is written on the command line."""
    return (flag and flag.names) or (f"--{name.replace('_', '-')}",)


def parts_of(hint: Any) -> tuple[Any, Flag | None]:
    """The type itself, and what stands beside it."""
    if typing.get_origin(hint) is not typing.Annotated:
        return hint, None
    bare, *beside = typing.get_args(hint)
    return bare, next((each for each in beside if isinstance(each, Flag)), None)


def kind_of(bare: Any) -> Kind:
    """Of a type such as `int`, `str | None`, `tuple[str, ...]` or a `Literal` of strings."""
    several = False
    choices = [each for each in typing.get_args(bare) if each is not type(None)]
    if type(None) in typing.get_args(bare):
        (bare,) = choices
    if typing.get_origin(bare) is tuple:
        several, bare = True, typing.get_args(bare)[0]
    if typing.get_origin(bare) is Literal:
        return Kind(str, several, typing.get_args(bare))
    return Kind(bare, several, ())
