"""The file of tokens: one table for each in TOML, with the SHA-256 of its secret and not the secret itself."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from foretell.errors import InvalidSetting, nearest
from foretell.serve.rate import LEAST_RATE, MOST_RATE, Rate

SCOPES = ("infer", "manage", "metrics")

_PREFIX = "ftl_"
_RANDOM_BYTES = 32
_MOST_FILE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """Who has its secret may do what `scopes` say, as often as `rate` says (None: always)."""

    name: str
    digest: bytes
    scopes: frozenset[str]
    rate: Rate | None = None


def read(path: Path) -> tuple[list[Token], str]:
    """The tokens of a file, and a warning, or none. Raises `InvalidSetting`."""
    where = f"tokens_file {path}"
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # or opening a pipe would wait
    try:
        with open(os.open(path, flags), "rb") as file:
            warning = _check_file(os.fstat(file.fileno()), where)
            text = file.read(_MOST_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidSetting(f"cannot be read: {error.strerror}", where=where) from None
    return parse(text, where), warning


def parse(text: bytes, where: str) -> list[Token]:
    """The tokens of a file: TOML, a table [[token]] for each. Raises `InvalidSetting`."""
    if len(text) > _MOST_FILE_BYTES:
        raise InvalidSetting("the file is too large", where=where, expected=f"at most {_MOST_FILE_BYTES} bytes")
    import tomllib  # few have such a file

    try:
        table = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"not valid TOML: {error}", where=where) from None
    entries = table.pop("token", [])
    if table or not isinstance(entries, list):
        raise InvalidSetting("there is something else than tokens", where=where, expected="[[token]] for each",
                             got=", ".join(table) or "one table")  # fmt: skip
    tokens = [_token(entry, f"{where}, token {number}") for number, entry in enumerate(entries, 1)]
    for kind in ("name", "digest"):
        known: set[Any] = set()
        for number, token in enumerate(tokens, 1):
            if getattr(token, kind) in known:
                fix = "choose another one, or delete the table of that token"
                raise InvalidSetting(f"another token has the same {kind}", where=f"{where}, token {number}", fix=fix)
            known.add(getattr(token, kind))
    return tokens


def _token(entry: Any, where: str) -> Token:
    if not isinstance(entry, dict):
        raise InvalidSetting("not a table", where=where, expected="[[token]]")
    unknown = sorted(set(entry) - set(_CHECKS))
    if unknown:
        raise InvalidSetting(f"unknown key {unknown[0]!r}", where=where, fix=nearest(unknown[0], _CHECKS))
    for key, (expected, holds) in _CHECKS.items():
        if not holds(entry.get(key)):
            # What stands in place of a digest may well be the secret itself: it is not shown.
            got = "something else" if key == "sha256" else repr(entry.get(key))
            raise InvalidSetting(f"{key}: wrong value", where=where, expected=expected, got=got)
    per_s, burst = entry.get("rate_per_s"), entry.get("burst")
    if burst is not None and per_s is None:
        raise InvalidSetting("burst would do nothing", where=where, fix="add rate_per_s, or leave burst out")
    rate = None if per_s is None else Rate.of(float(per_s), burst)
    return Token(entry["name"], bytes.fromhex(entry["sha256"]), frozenset(entry["scopes"]), rate)


def _are_scopes(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(scope in SCOPES for scope in value)


def _is_number(value: object, least: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= MOST_RATE


_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("letters, digits and ._-, at most 64", lambda v: isinstance(v, str) and bool(_NAME.fullmatch(v))),
    "sha256": ("64 hexadecimal digits", lambda v: isinstance(v, str) and bool(_DIGEST.fullmatch(v))),
    "scopes": (f"some of {', '.join(SCOPES)}", _are_scopes),
    "rate_per_s": (f"a number from {LEAST_RATE:g} to {MOST_RATE:g}", lambda v: v is None or _is_number(v, LEAST_RATE)),
    "burst": ("a whole number of at least 1", lambda v: v is None or (isinstance(v, int) and _is_number(v, 1))),
}


def _check_file(status: os.stat_result, where: str) -> str:
    """A warning, or none. Raises `InvalidSetting` where others could add a token of their own."""
    if not stat.S_ISREG(status.st_mode):
        raise InvalidSetting("not a file", where=where)
    if os.name != "posix":
        return ""
    if status.st_mode & 0o022:
        raise InvalidSetting("others may write to it, and so let themselves in", where=where, fix="chmod 600 it")
    if status.st_uid not in (os.geteuid(), 0):
        raise InvalidSetting("it belongs to another user", where=where, fix="chown it to the user of the server")
    return f"{where}: others may read it; chmod 600 it" if status.st_mode & 0o004 else ""


def new(
    name: str, scopes: tuple[str, ...], rate_per_s: float | None = None, burst: int | None = None
) -> tuple[str, str]:
    """A fresh secret, and what the file has to say of it. Raises `InvalidSetting`."""
    secret = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    listed = ", ".join(f'"{scope}"' for scope in scopes)
    lines = ["[[token]]", f'name = "{name}"', f'sha256 = "{digest}"', f"scopes = [{listed}]"]
    lines += [f"rate_per_s = {rate_per_s}"] * (rate_per_s is not None) + [f"burst = {burst}"] * (burst is not None)
    entry = {"name": name, "sha256": digest, "scopes": list(scopes), "rate_per_s": rate_per_s, "burst": burst}
    _token({key: value for key, value in entry.items() if value is not None}, "token")
    return secret, "\n".join([*lines, ""])


@contextmanager
def added(path: Path, text: str) -> Iterator[str]:
    """Adds a token to a file, made so that nobody else may read it, and gives a warning, or "".

    It stays there where the block ends well: a token that nobody was shown must not keep its name. Until then no other
    is added. Raises `InvalidSetting`, and changes nothing.
    """
    where = f"tokens_file {path}"
    with _open_to_add(path, where) as file:
        warning = _check_file(os.fstat(file.fileno()), where)
        with suppress(ImportError):  # not made for Windows
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        before = file.read()
        gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"
        parse(before + gap + text.encode(), where)
        try:
            _write(file, gap + text.encode(), where)
            yield warning
        except BaseException:
            file.truncate(len(before))
            raise


def _open_to_add(path: Path, where: str) -> FileIO:
    try:
        return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b", buffering=0)
    except OSError as error:
        raise InvalidSetting(f"cannot be written: {error.strerror}", where=where) from None


def _write(file: FileIO, data: bytes, where: str) -> None:
    """All of it: on a disk that is nearly full, a part of it is written first."""
    try:
        while data:
            data = data[file.write(data) :]
    except OSError as error:
        raise InvalidSetting(f"cannot be written: {error.strerror}", where=where) from None
