"""Where the output of a job belongs, and how it gets there in one step: the contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from foretell.batch.address import is_address
from foretell.batch.job import Commit, Data
from foretell.batch.ledger import Ledger
from foretell.batch.sinks.registry import SUFFIXES
from foretell.batch.sql.address import is_database
from foretell.batch.store import Held, Store
from foretell.errors import InvalidSetting

STATE = "_foretell"
QUARANTINE = "quarantine.jsonl"
DUPLICATES = "duplicates.jsonl"
REPORT, PAGE = "report.json", "report.html"
CURRENT = "job"
"""The file that names the job whose state stands in the store."""


class Output(ABC):
    """`store`: the state of its jobs. `is_file`: whether it is one file, and not one for each part.

    Who reads what `target` names sees all of one job or nothing of it.
    """

    store: Store
    format: str
    is_file: bool
    usual_file_size: ClassVar[int] = 128 * 2**20
    """Of a file of the output, where nobody asks for another."""

    @abstractmethod
    def __str__(self) -> str:
        """As it was named, for people."""

    @property
    @abstractmethod
    def target(self) -> str:
        """What readers look at."""

    @abstractmethod
    def publish(
        self, ledger: Ledger, parts: Sequence[Commit], manifest: Mapping[str, object], held: Held, file_size: int
    ) -> None:
        """Puts the output of a job in its place; the same once more where that was done already.

        `parts`: the records of those there are, in order. `manifest`: what is told of the job beside them. `file_size`:
        bytes of about which neighbours become one file. Raises `Unavailable` where that cannot be, and
        `Occupied` where another job has gone on here.
        """

    @abstractmethod
    def published(self, name: str) -> bool:
        """Whether what stands there is the output of the job of this name."""

    @abstractmethod
    def _is_taken(self) -> bool:
        """Whether something stands there."""

    def check_free(self, *, fresh: bool) -> None:
        """Raises `InvalidSetting` where something stands there that no job has made, unless `fresh`."""
        if not fresh and not self.store.names("") and self._is_taken():
            what = "there is something already, and no job of foretell made it"
            raise InvalidSetting(what, where=str(self), fix="name another output, or give --fresh to replace it")

    def check_apart(self, asked: str | Path | None, data: Data) -> None:  # noqa: B027 (optional hook)
        """Raises `InvalidSetting` where the output would take the place of `data`, or be part of what `asked` names in
        the next run. `asked`: None where only the files are known."""

    def begin(self, name: str, *, fresh: bool) -> None:
        """Makes room for the job of this name: what is left of others goes, with `fresh` what is left of it too.

        What is published stays.
        """
        goes_on = not fresh and self.store.read(CURRENT) == name.encode()
        kept = {name, CURRENT, "lock", *((QUARANTINE, DUPLICATES, REPORT, PAGE) if goes_on else ())}
        if fresh:
            self._forget(name)
        if not goes_on:
            self.store.put(CURRENT, name.encode())
        self.store.clear_scratch()
        for other in self.store.names(""):
            if other not in kept:
                self._forget(other)

    def end(self, ledger: Ledger, *, keep: bool) -> None:
        """The job is done and published. `keep`: its parts may be needed again."""
        self.store.clear_scratch()
        if not keep:
            self._drop_parts(ledger)

    def _drop_parts(self, ledger: Ledger) -> None:
        """Those that no reader reads."""
        self.store.remove(ledger.data)

    def _forget(self, name: str) -> None:
        self.store.remove(name)


def open_output(
    out: str | Path, fmt: str | None = None, table: str | None = None, work: str | Path | None = None
) -> Output:
    """A path, an address in object storage, or that of a database with a table. `work`: see `SqlOutput`.

    Raises `InvalidSetting` for a format that does not fit the name, and for what would do nothing.
    """
    if is_database(str(out)):
        from foretell.batch.sql.output import SqlOutput

        return SqlOutput(str(out), table, work, fmt)
    if idle := [name for name, value in (("table", table), ("work", work)) if value is not None]:
        raise InvalidSetting(
            f"--{idle[0]} would do nothing: the output is no database", where=str(out), fix="leave it out"
        )
    if is_address(str(out)):
        from foretell.batch.object_output import ObjectOutput

        return ObjectOutput(str(out), fmt)
    from foretell.batch.local_output import LocalOutput

    return LocalOutput(out, fmt)


def format_of(suffix: str, fmt: str | None, where: str) -> str:
    """The format of an output whose name ends so. Raises `InvalidSetting` where `fmt` is another."""
    named = SUFFIXES.get(suffix)
    if named and fmt and named != fmt:
        raise InvalidSetting("the output has two formats", where=where, expected=named, got=fmt,
                             fix="leave --output-format out")  # fmt: skip
    return named or fmt or "parquet"
