"""A query as the one input of a job: how it is named, and what tells it from another."""

from __future__ import annotations

import hashlib

from foretell.batch.shards import InputFile
from foretell.batch.sql.address import Database

KIND = "query"
_STAMP = "query "


def query_file(database: Database, query: str, size: int = 0) -> InputFile:
    """Rows are numbered in it as the query gave them. `size`: of what was read."""
    return InputFile(f"the query of {database.shown}", size, _STAMP + hashlib.sha256(query.encode()).hexdigest()[:32])


def is_query(file: InputFile) -> bool:
    """Whether an input is what a query gave: it was read once, and stays what it was then."""
    return file.stamp.startswith(_STAMP)


def difference(before: InputFile, now: InputFile) -> str:
    """What is not as it was, for people."""
    return "the database is another one" if before.path != now.path else "the query is another one"
