"""Reads command lines that are written plainly, without the parser of command lines.

Whatever is not plain is left to the parser: help, other ways to write a flag, and all that is wrong, which it tells
better. A test holds both to the same reading.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foretell.cli.flag import Kind, kind_of, parts_of, spelled
from foretell.config_checks import is_size, size_of
from foretell.errors import InvalidSetting


class Call(NamedTuple):
    """A command with what it was given."""

    function: Callable[..., Any]
    positional: tuple[str, ...]
    named: Mapping[str, Any]

    def __call__(self) -> Any:
        return self.function(*self.positional, **self.named)


def read(function: Callable[..., Any], words: Sequence[str]) -> Call | None:
    """What `words` ask of a command; None where they are not plain."""
    try:
        return _Command(function).read(words)
    except _NotPlain:
        return None


class _NotPlain(Exception):
    """The parser is to read it."""


class _Place(NamedTuple):
    """Where the value of a flag goes: to a parameter, or to the field `name` of the one that is called `group`."""

    group: str
    name: str
    kind: Kind


class _Command:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._places: dict[str, _Place] = {}
        self._groups: dict[str, Any] = {}
        self._texts = 0
        """Arguments without a name."""
        self._more = False
        self._required: set[str] = set()
        hints = typing.get_type_hints(function, include_extras=True)
        for parameter in inspect.signature(function).parameters.values():
            self._add(parameter, hints[parameter.name])

    def read(self, words: Sequence[str]) -> Call:
        texts: list[str] = []
        given: dict[_Place, Any] = {}
        left = list(reversed(words))
        while left:
            word = left.pop()
            if not word.startswith("-"):
                texts.append(word)
                continue
            name, equals, text = word.partition("=")
            place = self._places.get(name)
            if place is None or (place in given and not place.kind.several):
                raise _NotPlain
            value = _switched(equals) if place.kind.type is bool else _value(place, text if equals else _next(left))
            given[place] = (*given.get(place, ()), value) if place.kind.several else value
        if len(texts) < self._texts or (len(texts) > self._texts and not self._more):
            raise _NotPlain
        return Call(self._function, tuple(texts), self._named(given))

    def _add(self, parameter: inspect.Parameter, hint: Any) -> None:
        bare, _ = parts_of(hint)
        if parameter.kind is parameter.VAR_POSITIONAL:
            self._more = True
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            if bare is not str:
                raise _NotPlain
            self._texts += 1
        elif dataclasses.is_dataclass(bare):
            self._groups[parameter.name] = bare
            for name, field in typing.get_type_hints(bare, include_extras=True).items():
                self._add_flag(parameter.name, name, field)
        else:
            self._add_flag("", parameter.name, hint)
            if parameter.default is parameter.empty:
                self._required.add(parameter.name)

    def _add_flag(self, group: str, name: str, hint: Any) -> None:
        bare, flag = parts_of(hint)
        place = _Place(group, name, kind_of(bare))
        self._places.update(dict.fromkeys(spelled(name, flag), place))

    def _named(self, given: Mapping[_Place, Any]) -> dict[str, Any]:
        named = {place.name: value for place, value in given.items() if not place.group}
        if not self._required <= named.keys():
            raise _NotPlain
        for group, cls in self._groups.items():
            values = {place.name: value for place, value in given.items() if place.group == group}
            if values:
                named[group] = cls(**values)
        return named


def _switched(equals: str) -> bool:
    """What a flag without a value says; it may have none."""
    if equals:
        raise _NotPlain
    return True


def _next(left: list[str]) -> str:
    """The word that is the value of the flag before it."""
    if not left or left[-1].startswith("-"):
        raise _NotPlain
    return left.pop()


def _value(place: _Place, text: str) -> Any:
    kind = place.kind
    try:
        if kind.type is int:
            return size_of(text, "", "") if is_size(place.name) else int(text)
        if kind.type in (float, Path):
            return kind.type(text)
    except (ValueError, InvalidSetting):
        raise _NotPlain from None
    if kind.type is not str or (kind.choices and text not in kind.choices):
        raise _NotPlain
    return text
