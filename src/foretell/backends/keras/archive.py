"""A .keras file: a zip of a description, weights, and files that layers want. What in it would run code or read files.

Keras itself refuses lambdas and classes of others in `safe_mode`, and has had to learn more than once of names that
did more than make a layer. Only what is known to describe a model is let through here.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from foretell.errors import InvalidModel, UnsafeModel

MAX_ENTRIES = 10_000
MAX_CONFIG_BYTES = 64 * 2**20
MAX_UNPACKED_BYTES = 64 * 2**30
_CONFIG = "config.json"
_WEIGHTS = ("model.weights.h5", "model.weights.npz")
_ROOMS = re.compile(
    r"keras(\.src)?(\.(layers|models|initializers|regularizers|constraints|activations|dtype_policies|quantizers|ops"
    r"|random|metrics|losses|optimizers)(\..+)?)?"
)
_NO_LAYERS = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__", "__typespec__"}
"""They hold code, or a path to a model of another kind."""
_FIX = "if you trust its author, give --allow-pickle and --sha256 with the digest that the author tells"


def check_archive(data: bytes, where: str) -> None:
    """Raises `InvalidModel` for what is no .keras file, `UnsafeModel` for one that would do more than make layers."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, where)
            config = json.loads(archive.read(_CONFIG))
            weights = [name for name in _WEIGHTS if name in archive.namelist()]
            if weights[:1] == [_WEIGHTS[0]]:
                _check_weights(archive.open(_WEIGHTS[0]), where)
    except (UnsafeModel, InvalidModel):
        raise
    except Exception as error:  # what a stranger wrote fails in every way that unpacking can
        text = " ".join(str(error).split())[:200] or type(error).__name__
        expected = "what model.save('NAME.keras') writes"
        raise InvalidModel(f"not a whole Keras file: {text}", where=where, expected=expected) from error
    for each in _parts(config, 0):
        _check_part(each, where)


def _check_entries(entries: list[zipfile.ZipInfo], where: str) -> None:
    names = [entry.filename for entry in entries]
    if len(entries) > MAX_ENTRIES or len(set(names)) != len(names):
        raise UnsafeModel("too many entries, or one twice", where=where, expected=f"at most {MAX_ENTRIES}")
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts or name[1:2] == ":":
            raise UnsafeModel("an entry points out of the archive", where=where, got=repr(name))
    sizes = {entry.filename: entry.file_size for entry in entries}
    packed = sum(entry.compress_size for entry in entries)
    if sizes.get(_CONFIG, 0) > MAX_CONFIG_BYTES or sum(sizes.values()) > min(MAX_UNPACKED_BYTES, 100 * packed + 2**20):
        raise UnsafeModel("it unpacks to too much", where=where, got=f"{sum(sizes.values())} bytes")


def _parts(config: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Every object of the description, at any depth; what is only for training is never made."""
    if depth > 200:
        raise InvalidModel("its description is nested too deeply", where=_CONFIG)
    if isinstance(config, dict):
        yield config
        for key, value in config.items():
            if key != "compile_config":
                yield from _parts(value, depth + 1)
    elif isinstance(config, list):
        for value in config:
            yield from _parts(value, depth + 1)


def _check_part(part: dict[str, Any], where: str) -> None:
    if "class_name" not in part:
        return
    name, module, registered = str(part["class_name"]), part.get("module"), part.get("registered_name")
    inner = part.get("config")
    if name in _NO_LAYERS or (name == "function" and str(inner) in _NO_LAYERS):
        raise UnsafeModel(f"its {name} brings code or files of its own", where=where, fix=_FIX)
    of_function = name == "function" and module == "builtins"
    known = module is None or of_function or (isinstance(module, str) and _ROOMS.fullmatch(module))
    if not known or not _plain(name) or (of_function and registered not in (None, "function", inner)):
        raise UnsafeModel("it names code of others", where=where, got=f"{module}.{name}"[:100], fix=_FIX)
    if registered is not None and (module is None or ">" in str(registered)):
        what = "it needs a class of yours, which a file cannot bring"
        fix = "load it in Python and hand over the live model"
        raise UnsafeModel(what, where=where, got=str(registered)[:100], fix=fix)
    if isinstance(inner, dict) and isinstance(inner.get("vocabulary"), str):
        fix = "save it with the words themselves as its vocabulary"
        raise UnsafeModel(f"its {name} would read a file", where=where, got=inner["vocabulary"][:100], fix=fix)


def _plain(name: str) -> bool:
    return name.isidentifier()


def _check_weights(file: Any, where: str) -> None:
    """HDF5 can name other files as the place of its numbers."""
    import h5py

    with file, h5py.File(io.BytesIO(file.read()), "r") as found:
        groups = [found]
        while groups:
            group = groups.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise UnsafeModel("its weights lead to another place", where=where, got=str(name)[:100])
                value = group[name]
                if isinstance(value, h5py.Group):
                    groups.append(value)
                elif value.external or value.is_virtual:
                    raise UnsafeModel("its weights lie in another file", where=where, got=str(name)[:100])
