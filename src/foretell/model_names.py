"""What a model and a version of it may be called."""

from __future__ import annotations

import re

from foretell.errors import InvalidSetting

_NAME = re.compile(r"\w(?:[\w .-]{0,126}[\w-])?")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_SHOWN = 128


def check_name(name: str) -> str:
    """The name itself, if a model may have it; else raises `InvalidSetting`.

    1 to 128 letters and digits of any script, `_`, `-`, `.` and inner spaces; the first is a letter, a digit or `_`,
    the last is not `.`. So no name is a path, leaves its folder, or hides a file.
    """
    if not _NAME.fullmatch(name):
        raise InvalidSetting(
            f"{name[:_SHOWN]!r} cannot be the name of a model",
            expected="1 to 128 letters, digits, '_', '-', '.' or inner spaces, the first a letter, a digit or '_'",
            fix="name it with NAME=MODEL",
        )
    return name


def check_version(version: str) -> str:
    """The version itself, if it is a positive whole number without leading zeros; else raises `InvalidSetting`."""
    if not is_version(version):
        raise InvalidSetting(f"{version[:_SHOWN]!r} cannot be a version", expected="a positive whole number, such as 1")
    return version


def is_version(text: str) -> bool:
    return _VERSION.fullmatch(text) is not None
