"""What it takes to open the same model again in another process: names and plain data, never a live object."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.config import ModelSettings
from foretell.errors import InvalidModel, Unavailable

_PREFIX_BYTES = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """`source` and `settings` are what `open_model` takes; `folder` and `search` make "module:Class" mean the same.

    `settings`: the fields of `ModelSettings` as plain data. `name`: of the model, for its errors. `folder`: the
    working folder. `search`: where modules are looked for, in order.
    """

    source: str
    is_path: bool
    settings: Mapping[str, Any]
    name: str
    folder: str
    search: tuple[str, ...]

    @classmethod
    def of(cls, source: object, settings: ModelSettings, *, name: str = "model") -> Recipe:
        """Of the model that `source` means here and now.

        Raises `InvalidModel` for a live object, which exists in this process only.
        """
        if not isinstance(source, (str, Path)):
            what, got = "a live object cannot run in a process of its own", type(source).__name__
            raise InvalidModel(what, expected="a path or 'module:Class'", got=got, fix="give the name of its class")
        folder = _working_folder()
        search = tuple(os.path.join(folder, place) for place in sys.path if isinstance(place, str))
        return cls(str(source), isinstance(source, Path), dataclasses.asdict(settings), name, folder, search)

    def opened(self) -> str | Path:
        """The source as it was given."""
        return Path(self.source) if self.is_path else self.source

    def model_settings(self) -> ModelSettings:
        import msgspec

        return msgspec.convert(dict(self.settings), ModelSettings, strict=False)

    def send(self, connection: socket.socket) -> None:
        """As JSON, before the first message of `Channel`: the child does not know yet where its packages are."""
        data = json.dumps(dataclasses.asdict(self)).encode()
        connection.sendall(len(data).to_bytes(_PREFIX_BYTES, "little") + data)


def read_recipe(connection: socket.socket) -> Recipe:
    """What `Recipe.send` has sent."""
    size = int.from_bytes(connection.recv(_PREFIX_BYTES, socket.MSG_WAITALL), "little")
    values = json.loads(connection.recv(size, socket.MSG_WAITALL))
    return Recipe(**{**values, "search": tuple(values["search"])})


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        what = "the working folder of this process is gone, and a process of its own would have to start there"
        raise Unavailable(what, got=error.strerror, fix="start in a folder that exists") from error
