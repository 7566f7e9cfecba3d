"""Both ends of a stream by their addresses."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from foretell.errors import InvalidSetting
from foretell.events.address import STDIO, letters_file, path_of, state_folder
from foretell.events.file_sink import FileSink
from foretell.events.file_state import FileState
from foretell.events.follow import FileSource
from foretell.events.interfaces import Sink, Source
from foretell.events.report import Onlooker
from foretell.events.stdio import PipeSink, PipeSource
from foretell.events.stream import Ends
from foretell.saying import Level

_STDIN = 0


def ends_of(
    source: str | Path,
    sink: str | Path,
    *,
    state: str | Path | None,
    dead_letters: str | Path | None,
    once: bool,
    most_line_bytes: int,
    onlooker: Onlooker,
    output: int = 1,
) -> Ends:
    """`state` and `dead_letters` None: beside a sink that is a file. Raises `InvalidSetting` for what goes together
    with nothing, or would do nothing. `output`: the descriptor of standard output."""
    come, go = path_of(source, "source"), path_of(sink, "sink")
    if state is not None and (come is None or go is None):
        fix = "leave it out"
        raise InvalidSetting("--state would do nothing: only from file to file a stream can be resumed", fix=fix)
    letters = path_of(dead_letters, "file of dead letters") if dead_letters is not None else None
    letters = letters or (letters_file(go) if go is not None else None)
    folder = None if come is None or go is None else Path(state) if state is not None else state_folder(go)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InvalidSetting("the state is a file", where=str(folder), expected="a folder")
    _check_apart({"source": _STDIN if come is None else come, "sink": output if go is None else go,
                  **({} if letters is None else {"file of dead letters": letters})})  # fmt: skip

    def say(line: str, /, *, event: str = "message", level: Level = "info", **fields: object) -> None:
        onlooker.noted(line, level)

    avoid = [each for each in (go, letters) if each is not None]
    opened: Source = PipeSource(_STDIN, most_line_bytes) if come is None else FileSource(
        come, once=once, most_line_bytes=most_line_bytes, avoid=avoid, say=say)  # fmt: skip
    names = {"source": _name(come), "sink": _name(go)}
    if letters is not None:
        names["dead_letters"] = _name(letters)
    if folder is not None:
        names["state"] = _name(folder)
    taken: Sink = PipeSink(output) if go is None else FileSink(go)
    return Ends(opened, taken, None if letters is None else FileSink(letters, when_needed=True),
                None if folder is None else FileState(folder), names)  # fmt: skip


def _name(path: Path | None) -> str:
    return STDIO if path is None else os.path.abspath(path)


def _check_apart(files: Mapping[str, Path | int]) -> None:
    """Raises `InvalidSetting` where two of them are one file, which may have several names."""
    known: dict[object, str] = {}
    for what, file in files.items():
        if isinstance(file, Path):
            its, where = _identity(file, what), str(file)
        elif stat.S_ISREG((status := os.fstat(file)).st_mode):
            its, where = (status.st_dev, status.st_ino), STDIO
        else:
            continue
        other = known.setdefault(its, what)
        if other != what:
            raise InvalidSetting(f"the {what} is the {other}", where=where, fix="name another file")


def _identity(path: Path, what: str) -> object:
    """The same for the same file. Raises `InvalidSetting` for what is none."""
    if path.is_dir():
        raise InvalidSetting(f"the {what} is a folder", where=str(path), expected="a file")
    if not path.exists():
        return path.resolve()
    if not path.is_file():
        raise InvalidSetting(f"the {what} is no file", where=str(path), fix="use - for standard input or output")
    status = path.stat()
    return status.st_dev, status.st_ino
