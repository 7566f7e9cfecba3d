"""Imports of what an optional extra brings: where it is not there, or does not load, that is one line."""

from __future__ import annotations

import re
from types import TracebackType

from foretell.errors import Unavailable, missing_extra, said

_LIBRARY = re.compile(r"(\S+?\.so[.\d]*): cannot open shared object file|Library not loaded: (?:\S*/)?(\S+\.dylib)")
"""As the loaders of Linux and macOS tell which one is not there."""
_BROUGHT = {
    "libgomp.so.1": "on Debian and Ubuntu: apt-get install libgomp1",
    "libomp.dylib": "with Homebrew: brew install libomp",
}
"""Libraries of the system that wheels expect, and what brings them."""


class needs:
    """Around imports: raises `MissingExtra` where `package`, which `extra` brings, is not installed, and `Unavailable`
    where it is and does not load, for a library of the system that is missing, say. `purpose`: what needs it."""

    __slots__ = ("_extra", "_package", "_purpose")

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self._package, self._extra, self._purpose = package, extra, purpose

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ModuleNotFoundError):
            raise missing_extra(self._package, self._extra, self._purpose) from None
        if isinstance(error, Exception):
            raise unloadable(self._package, self._purpose, error) from error


def unloadable(package: str, purpose: str, error: Exception) -> Unavailable:
    """What is told of a package that is installed and cannot be imported, since `error`."""
    fix = f"try: python -c 'import {package.replace('-', '_')}'; perhaps another release of it fits"
    if library := _LIBRARY.search(str(error)):
        name = library[1] or library[2]
        fix = f"install the system's library {name}" + (f"; {_BROUGHT[name]}" if name in _BROUGHT else "")
    return Unavailable(f"{purpose} needs the package {package}, which does not load: {said(error)}", fix=fix)
