"""The record of a stream in a folder: one small file, put in its place as a whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from foretell.errors import InvalidInput
from foretell.events.interfaces import FORMAT, Record, State
from foretell.events.trouble import told
from foretell.file_lock import held, open_lock

_RECORD, _LOCK = "record.json", "lock"


class _Sealed(msgspec.Struct, frozen=True):
    sha256: str
    record: msgspec.Raw


class _Format(msgspec.Struct):
    format: int


class FileState(State):
    """`folder` is made where it is not there. What `save` has returned for is on the disk, also after a power cut."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @contextmanager
    def lock(self) -> Iterator[None]:
        path = self.folder / _LOCK
        with told(path):
            descriptor = open_lock(path)
        with held(descriptor, "another stream has this state", str(self.folder), "wait for its end"):
            yield

    def load(self) -> Record | None:
        path = self.folder / _RECORD
        try:
            sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
            if hashlib.sha256(sealed.record).hexdigest() != sealed.sha256:
                raise ValueError("its digest is another one")
            written = msgspec.json.decode(sealed.record, type=_Format).format
            if written == FORMAT:
                return msgspec.json.decode(sealed.record, type=Record)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            fix = "put it back as it was, or run with --fresh to start again"
            raise InvalidInput(f"the record of the stream is damaged: {error}", where=str(path), fix=fix) from None
        raise InvalidInput("another release of foretell began this stream", where=str(path),
                           expected=f"format {FORMAT}", got=written,
                           fix="go on with that release, or run with --fresh")  # fmt: skip

    def save(self, record: Record) -> None:
        content = msgspec.json.encode(record)
        sealed = msgspec.json.encode(_Sealed(hashlib.sha256(content).hexdigest(), msgspec.Raw(content)))
        path = self.folder / _RECORD
        with told(path):
            made = self.folder / f"{_RECORD}.new"
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                while sealed:
                    sealed = sealed[os.write(descriptor, sealed) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(made, path)
            self._sync()

    def forget(self) -> None:
        with told(self.folder):
            (self.folder / _RECORD).unlink(missing_ok=True)
            self._sync()

    def _sync(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
