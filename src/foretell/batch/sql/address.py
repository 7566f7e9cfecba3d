"""Addresses of databases, such as `sqlite:///app.db`: pure functions over text. No text of ours holds a password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from foretell.errors import InvalidSetting, nearest

Kind = Literal["sqlite", "duckdb", "postgresql"]
_KINDS: dict[str, Kind] = {"sqlite": "sqlite", "duckdb": "duckdb", "postgresql": "postgresql", "postgres": "postgresql"}
EXAMPLES = "sqlite:///FILE, duckdb:///FILE, duckdb: or postgresql://USER@HOST/DATABASE"
_SECRET = re.compile(r"(?i)(^|&)(password|sslpassword)=[^&]*")
_IN_MEMORY = ("", "//", "///", "///:memory:")


@dataclass(frozen=True, slots=True)
class Database:
    """`address`: what a driver is told, which may hold a password; `shown`: the same without one, for people and
    records. `path`: of the file; "" where it is in memory or a server."""

    kind: Kind
    shown: str
    path: str = ""
    address: str = field(default="", repr=False)


def is_database(text: str) -> bool:
    """Whether `text` is meant as the address of a database, right or wrong."""
    return text.partition(":")[0].lower() in _KINDS and ":" in text


def parse(text: str, folder: str = "") -> Database:
    """`folder`: that relative paths begin in; "": the working folder. Raises `InvalidSetting`."""
    scheme, _, rest = text.partition(":")
    kind = _KINDS.get(scheme.lower())
    if kind is None:
        hint = nearest(scheme.lower(), _KINDS) if text[len(scheme) :].startswith("://") else ""
        raise InvalidSetting("this is not the address of a database", where=_safe(text), expected=EXAMPLES, fix=hint)
    if kind == "postgresql":
        return _server(text, rest)
    if kind == "duckdb" and rest in _IN_MEMORY:
        return Database(kind, "duckdb:")
    named = rest.removeprefix("///")
    if named == rest or rest in _IN_MEMORY:
        fix = "three slashes before a path from here, four before one from the root"
        raise InvalidSetting("the address names no file", where=_safe(text), expected=f"{kind}:///FILE", fix=fix)
    path = str((Path(folder) / named).absolute())
    return Database(kind, f"{kind}:///{path}", path)


def _server(text: str, rest: str) -> Database:
    """Where a password holds "/", "?" or "@" as they are, no part of the address may be shown."""
    found = re.fullmatch(r"//(?:([^/?@]*)@)?([^/?@]*)(/[^?@]*)?(?:\?([^@]*))?", rest)
    hosts = found[2].split(",") if found else []
    if found is None or not all(re.fullmatch(r"(\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(:\d*)?", host) for host in hosts):
        raise InvalidSetting("the address of the database cannot be read", where="postgresql://...",
                             expected="postgresql://USER@HOST/DATABASE",
                             fix="write special characters of a password as %40, %2F and so on")  # fmt: skip
    user = (found[1] or "").partition(":")[0]
    options = _SECRET.sub("", found[4] or "").strip("&")
    shown = "postgresql://" + (f"{user}@" if user else "") + found[2] + (found[3] or "")
    return Database("postgresql", shown + (f"?{options}" if options else ""), address=f"postgresql:{rest}")


def _safe(text: str) -> str:
    """Without what may be a name and a password."""
    scheme, separator, rest = text.partition("://")
    return f"{scheme}://...@{rest.rpartition('@')[2]}" if separator and "@" in rest else text
