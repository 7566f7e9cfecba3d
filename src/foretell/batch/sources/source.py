"""The contract between a job and where its rows come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from foretell.batch.block import Block
from foretell.batch.files import ChangedInput
from foretell.batch.job import Condition
from foretell.batch.shards import InputFile, Shard, ShardSize
from foretell.errors import InvalidInput, RowError
from foretell.forms.cells import Cells
from foretell.forms.mapping import Sort
from foretell.types import ModelSpec

FieldKind = Literal["number", "text", "bool", "time", "other", "unknown"]


class Unreadable(InvalidInput):
    """A file, or the rest of one, that cannot be read, though others can. `file`: its number."""

    file = -1


def unreadable(file: int, error: InvalidInput) -> InvalidInput:
    """The same said of a file that others need not wait for; what has changed stops the job, and stays what it is."""
    if isinstance(error, ChangedInput):
        return error
    made = Unreadable(error.what, where=error.where, expected=error.expected, got=error.got, fix=error.fix)
    made.file = file
    return made


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a source. `kind` "unknown": only its cells tell."""

    name: str
    kind: FieldKind
    described: str = ""
    """Its type in the words of the source, for people."""
    flags: bool = False
    """Its cells are booleans, or words for them, though its kind does not tell."""

    @property
    def sort(self) -> Sort:
        """What it is to a model."""
        if self.flags or self.kind == "bool":
            return "flag"
        return self.kind if self.kind in ("number", "unknown") else "other"


class Source(ABC):
    """Rows of some files. Opened once to plan the job and once in each process that reads; never changes them.

    `read` gives the rows of a shard in order, each once, the same in every run while the files stay the same. A row
    that cannot be read stands in `Block.bad`; a file that cannot be read raises `Unreadable`, which names it.
    """

    sets_aside: ClassVar[bool] = False
    """A file that is in `broken` is left out; the others go on."""

    default_keys: ClassVar[tuple[str, ...]] = ()
    """Columns that tell rows apart where nobody has named a key."""

    whole_columns: ClassVar[bool] = False
    """Columns that the model does not ask for are part of the data set, and no mistake."""

    content: ClassVar[str] = ""
    """The one column that is meant for the one input of a model, whatever that is named."""

    known_options: ClassVar[tuple[str, ...]] = ()
    """Names of `options`; others are refused before it is opened."""

    cells_are_text: ClassVar[bool] = False
    """Cells are text, and numbers only for who reads them so: a column of numbers may be read as text."""

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        self.files, self.options = files, options
        self.broken: dict[int, str] = {}
        """Files that cannot be read, by their number, and why: as it was when the job was planned."""
        self.unasked: Collection[int] = ()
        """Files of which no row is asked for, by their number: `shards` leaves them out."""
        self.left_out: Mapping[int, RowError] = {}
        """Rows, by their number in the file, that ended a process while they were decoded: `read` does not try them."""
        self.decodes: Callable[[int], None] = _nothing
        """Told of a row, by its number in the file, before it is decoded in a way that may end the process."""

    @property
    def whole(self) -> list[int]:
        """The numbers of the files that can be read, as far as is known."""
        return [number for number in range(len(self.files)) if number not in self.broken]

    @property
    def asked(self) -> list[int]:
        """Those of them that may have rows that are asked for."""
        return [number for number in self.whole if number not in self.unasked]

    def suit(self, spec: ModelSpec, columns: Mapping[str, Sequence[str]]) -> None:  # noqa: B027 (optional hook)
        """Told before `read` what the model takes, and which columns each of its inputs gets.

        Raises `InvalidSetting` for options that do not go with it.
        """

    @abstractmethod
    def fields(self) -> tuple[Field, ...]:
        """The columns of all files. Raises `InvalidInput` where the files differ, naming the first that does."""

    @abstractmethod
    def shards(self, size: ShardSize) -> list[Shard]:
        """The shards of all files, in order."""

    @abstractmethod
    def read(self, shard: Shard, columns: Sequence[str], rows: int) -> Iterator[Block]:
        """The rows of `shard` with `columns` only, in blocks of at most `rows` rows."""

    @property
    def row_bytes(self) -> int | None:
        """Memory of one row, where it has nothing to do with the size of the files."""
        return None

    def narrow(self, where: Sequence[Condition]) -> None:  # noqa: B027 (optional hook)
        """Before `shards`: only rows for which all of these hold are asked for. What cannot hold one may be left out of
        the shards; the job looks at every row itself."""

    def empty(self, name: str) -> Cells | None:
        """No cells of a column, of the type that `read` gives it; None where only its cells tell."""
        return None

    def check(self, columns: Sequence[str]) -> None:  # noqa: B027 (optional hook)
        """Once, when the job is planned. Raises `InvalidInput` where one of the files cannot give these columns."""

    def close(self) -> None:  # noqa: B027 (optional hook)
        """Gives back what reading has opened."""

    def where(self, file: int, row: int) -> str:
        """A row, for people: its file, and its number there."""
        return f"{self.files[file].path}, row {row}"


def _nothing(row: int) -> None:
    """Nobody looks on."""


def same_fields(fields: Sequence[Field], first: str, others: Sequence[Field], file: str) -> None:
    """Raises `InvalidInput` unless two files have the same columns."""
    mine, theirs = {f.name: f for f in fields}, {f.name: f for f in others}
    for name in [*mine, *theirs]:
        if name not in theirs:
            raise InvalidInput(f"column {name!r} is missing", where=file, expected=f"the columns of {first}",
                               fix="leave the file out, or score it by itself")  # fmt: skip
        if name not in mine:
            raise InvalidInput(f"column {name!r} is not in the first file", where=file,
                               expected=f"the columns of {first}", fix="leave it out of the file")  # fmt: skip
        if mine[name].described != theirs[name].described:
            raise InvalidInput(f"column {name!r} has another type than in {first}", where=file,
                               expected=mine[name].described, got=theirs[name].described)  # fmt: skip
