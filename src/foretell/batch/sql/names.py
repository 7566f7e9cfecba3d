"""Names of tables, as people write them and as SQL does: no text becomes anything but a name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from foretell.batch.sql.address import Database
from foretell.errors import InvalidSetting

JOBS = "_foretell_jobs"
"""The table, beside each table of ours, that tells which job made it."""
_PART = re.compile(r'"((?:[^"]|"")+)"|([^."][^.]*)')
_MOST_BYTES = 63
"""PostgreSQL cuts longer names off."""


@dataclass(frozen=True, slots=True)
class TableName:
    """`schema`: "" for the one that a database takes where none is named."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table

    @property
    def quoted(self) -> str:
        return _beside(self.schema, self.table)

    @property
    def jobs(self) -> str:
        """The quoted name of `JOBS` in the same schema."""
        return _beside(self.schema, JOBS)


def quoted(name: str) -> str:
    """A name as SQL of every database here takes it."""
    return '"' + name.replace('"', '""') + '"'


def parse_table(text: str, database: Database) -> TableName:
    """TABLE or SCHEMA.TABLE; a part with dots in it stands in double quotes. Raises `InvalidSetting`."""
    parts, at = list[str](), 0
    while (found := _PART.match(text, at)) is not None:
        parts.append(found[1].replace('""', '"') if found[1] is not None else found[2])
        at = found.end() + 1
        if at > len(text) or text[at - 1] != ".":
            break
    if not parts or len(parts) > 2 or at != len(text) + 1:
        raise InvalidSetting("this is not the name of a table", where="--table", expected="TABLE or SCHEMA.TABLE",
                             got=text, fix='write names with dots in double quotes: "my.table"')  # fmt: skip
    name = TableName(parts[0] if len(parts) == 2 else "", parts[-1])
    if name.schema and database.kind == "sqlite":
        raise InvalidSetting("SQLite has no schemas", where="--table", expected="TABLE", got=text)
    if "\0" in text or any(len(part.encode("utf-8", "replace")) > _MOST_BYTES for part in parts):
        raise InvalidSetting("the name of the table is too long", where="--table", expected=f"{_MOST_BYTES} bytes")
    if name.table.lower() == JOBS or (name.table.lower().startswith("sqlite_") and database.kind == "sqlite"):
        raise InvalidSetting("this name is for other use", where="--table", got=text, fix="choose another name")
    return name


def folder_name(name: TableName, database: Database) -> str:
    """Of the folder that holds the state of its jobs: another one for each table that a database tells apart."""
    text = str(name) if database.kind == "postgresql" else str(name).lower()
    place = re.sub(r"//[^/@]*@", "//", database.shown).partition("?")[0] if database.kind == "postgresql" else ""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:40].strip("-")
    digest = hashlib.sha256(f"{place}\n{name.schema!r} {text!r}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else digest


def _beside(schema: str, table: str) -> str:
    return f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
