"""The query of a job: what was asked, and the rows that were read of it, once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from foretell.batch.job import Data
from foretell.batch.ledger import Ledger
from foretell.batch.sql.address import EXAMPLES, is_database, parse
from foretell.batch.sql.helper import ask, here
from foretell.batch.sql.messages import ReadQuery
from foretell.batch.sql.naming import KIND, query_file
from foretell.batch.sql.record import INPUT, SPOOL, Spool
from foretell.errors import InvalidInput, InvalidSetting


def asked_data(data: str | Path, query: str | None, fmt: str | None, options: Mapping[str, Any]) -> Data | None:
    """What a query asks for, before it is read; None where `data` is no database and there is no query.

    Raises `InvalidSetting` where one of the two is missing, and for what would do nothing.
    """
    text = str(data)
    if query is None and not is_database(text):
        return None
    if not is_database(text):
        raise InvalidSetting("--query needs the address of a database", got=_kind(text), expected=EXAMPLES)
    database = parse(text)
    if query is None or not query.strip():
        what = "this is a database, and no query says which rows are meant"
        raise InvalidSetting(what, where=database.shown, fix="add --query 'select ... from ...'")
    idle = [name for name, value in (("format", fmt), *options.items()) if value is not None]
    if idle:
        raise InvalidSetting(f"--{idle[0]} would do nothing: it is not for a query", fix="leave it out")
    return Data(KIND, (query_file(database, query),), {"query": query})


def as_asked(data: Data) -> Data:
    """The data of a job, as it was asked for: without what was read."""
    if data.kind != KIND:
        return data
    return Data(KIND, tuple(replace(file, size=0) for file in data.files), {"query": data.options["query"]})


def read_at(data: Data) -> str | None:
    """When its query was read, in UTC; None where the data are files."""
    return data.options.get("read_at") if data.kind == KIND else None


def whole(asked: Data, address: str | None, ledger: Ledger, keys: Sequence[str], going: Callable[[int], None]) -> Data:
    """The rows of the query: those that were read before, where they stand; else they are read now, all in one go.

    `address`: None where only what was read before will do. Raises what reading raises.
    """
    if asked.kind != KIND:
        return asked
    store, folder = ledger.store, f"{ledger.name}/{INPUT}"
    found = _standing(ledger)
    if found is None:
        if address is None or ledger.job() is not None:
            what = "what was read of the query is gone, and read again it may be other rows"
            raise InvalidInput(what, where=store.where(folder), fix="run with --fresh to start again")
        root = store.address if "://" in store.address else os.path.abspath(store.address)
        ask(ReadQuery(here(), address, asked.options["query"], root, folder, list(keys)), going)
        found = _standing(ledger)
        if found is None:
            raise InvalidInput("the query was read, and what was read is not there", where=store.where(folder))
    spool = [[store.where(f"{folder}/{file.name}"), file.bytes, file.rows] for file in found.files]
    options = {**asked.options, "read_at": found.read_at, "spool": spool,
               "retyped": msgspec.to_builtins(found.retyped)}  # fmt: skip
    size = sum(file.bytes for file in found.files)
    return Data(KIND, tuple(replace(file, size=size) for file in asked.files), options)


def forget(data: Data, ledger: Ledger) -> None:
    """Removes what was read: the job is done, and has no row that may be scored again."""
    if data.kind == KIND:
        ledger.store.remove(f"{ledger.name}/{INPUT}")


def _standing(ledger: Ledger) -> Spool | None:
    folder = f"{ledger.name}/{INPUT}"
    content = ledger.store.read(f"{folder}/{SPOOL}")
    found = Spool.decoded(content) if content is not None else None
    if found is None or not set(ledger.store.names(folder)).issuperset(file.name for file in found.files):
        return None
    return found


def _kind(text: str) -> str:
    return text if "@" not in text else "another address"
