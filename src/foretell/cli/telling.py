"""What a server says of itself on standard error: lines for people, or one JSON object for each (`log_format`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import orjson

from foretell.cli.notes import one_line
from foretell.errors import InferenceError, InvalidSetting
from foretell.saying import Level

_LEVELS: dict[str, Level] = {"WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}
_WARNING = "warning: "


class Teller:
    """As `Say` has it. Safe from any thread. That nobody can read it, or that the disk is full, stops nothing."""

    def __init__(self, form: Literal["text", "json"] = "text", worker: int | None = None) -> None:
        """`worker`: which of several processes this is."""
        self.json = form == "json"
        self._worker = worker

    def __call__(self, line: str, /, *, event: str = "message", level: Level = "info", **fields: object) -> None:
        self._write(self._entry(line, event, level, fields) if self.json else self._named(line))

    def start(self, lines: Iterable[str]) -> None:
        """What the start of a server has to say."""
        for line in lines:
            warns = self.json and line.startswith(_WARNING)
            level: Level = "warning" if warns else "info"
            self(line.removeprefix(_WARNING) if warns else line, event="start", level=level)

    def note(self, note: str) -> None:
        """Something that was noticed while the models load."""
        self(note if self.json else f"foretell: note: {note}", event="note")

    def failed(self, error: InferenceError) -> int:
        """Why the server ends; returns the exit code."""
        self(" ".join(str(error).split()), event="failed", level="error", code=error.code)
        return 2 if isinstance(error, InvalidSetting) else 1

    def take_over(self) -> None:
        """Has everything that this process says by itself written as JSON, where that is the form: warnings, logs of
        libraries, and what nobody has caught."""
        if not self.json:
            warnings.showwarning = one_line
            return
        warnings.showwarning = self._warned
        sys.excepthook = self._uncaught
        threading.excepthook = lambda what: self._uncaught(what.exc_type, what.exc_value, what.exc_traceback)
        logging.getLogger().addHandler(_Logs(self))

    def end(self) -> None:
        """Lets go of lines that could not be written: Python would try once more at its end, and fail the process."""
        try:
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """The same for what goes wrong on `loop`."""
        if self.json:
            loop.set_exception_handler(self._mistake)

    def _mistake(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        named: dict[str, Any] = {key: context[key] for key in ("request_id", "trace_id", "path") if key in context}
        error = context.get("exception")
        if error is not None:
            named["exception"] = _traced(error)
        self(str(context.get("message", "unhandled")), event="mistake", level="error", **named)

    def _warned(self, message: Warning | str, *_: object, **__: object) -> None:
        self(str(message), event="warning", level="warning")

    def _uncaught(self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        text = _traced(error) if error is not None else kind.__name__
        self(f"{kind.__name__}: {error}", event="uncaught", level="error", exception=text)

    def _named(self, line: str) -> str:
        return line if self._worker is None else f"worker {self._worker}: {line}"

    def _entry(self, line: str, event: str, level: Level, fields: dict[str, object]) -> str:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry: dict[str, object] = {"time": now, "level": level, "event": event, "message": line}
        if self._worker is not None:
            entry["worker"] = self._worker
        return orjson.dumps(entry | fields, default=str).decode()

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a stream that is full, closed or not there
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


class _Logs(logging.Handler):
    """What libraries log."""

    def __init__(self, teller: Teller) -> None:
        super().__init__(logging.WARNING)
        self._teller = teller

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = _traced(record.exc_info[1])
        level = _LEVELS.get(record.levelname, "info")
        self._teller(record.getMessage(), event="log", level=level, **fields)


def _traced(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
