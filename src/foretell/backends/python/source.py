"""Finds the object that "module:name" or "path/to/file.py:name" means."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from foretell.errors import InvalidModel, nearest

_REFERENCE = re.compile(r"(?P<module>[^:]+):(?P<name>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)")


@dataclass(frozen=True, slots=True)
class Found:
    """`digest` is over the module's source and the name; "" where the module has no file."""

    value: object
    name: str
    digest: str
    size_bytes: int | None


def is_reference(text: str) -> bool:
    """Whether `text` has the form "module:name"; says nothing of whether that exists."""
    return _REFERENCE.fullmatch(text) is not None and "://" not in text


def find(reference: str) -> Found:
    """Imports the module and gets the name from it.

    The current directory is importable, as with `python -m`; so is the folder of a .py file. Raises `InvalidModel`
    where the module cannot be imported or has no such name.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise InvalidModel("not a reference to a Python object", expected="module:name", got=repr(reference))
    place, name = match["module"], match["name"]
    module = _from_file(Path(place)) if place.endswith(".py") else _from_name(place, reference)
    value: object = module
    for part in name.split("."):
        if not hasattr(value, part):
            known = [known for known in vars(value) if not known.startswith("_")] if hasattr(value, "__dict__") else []
            fix = (
                nearest(part, known) if place != "__main__" else "every process has its own: give path/to/file.py:name"
            )
            raise InvalidModel(f"there is no {name!r} in {place}", where=reference, fix=fix)
        value = getattr(value, part)
    digest, size = _digest(module, value, name)
    return Found(value, name.rpartition(".")[2], digest, size)


def _from_name(name: str, reference: str) -> ModuleType:
    _importable(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _broken(reference, error) from error
        fix = "start in the folder that holds it, or give path/to/file.py:name"
        raise InvalidModel(f"there is no module {error.name!r}", where=reference, fix=fix) from error
    except (Exception, SystemExit) as error:
        raise _broken(reference, error) from error


def _from_file(path: Path) -> ModuleType:
    """Runs a file as a module of its own. The same content at the same path is run once; of a path that changes again
    and again, the last two are known by name."""
    try:
        code = path.read_bytes()
    except OSError as error:
        raise InvalidModel("the file cannot be read", where=str(path), got=error.strerror or error) from error
    path = path.resolve()
    key = hashlib.sha256(b"\0".join((str(path).encode(), code))).hexdigest()[:12]
    stem = re.sub(r"\W", "_", path.stem)
    name = f"{stem}_{key}"
    if name in sys.modules:
        return sys.modules[name]
    _importable(str(path.parent))
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # before it runs: dataclasses and type hints look themselves up there
    try:
        exec(compile(code, str(path), "exec"), vars(module))  # noqa: S102 (the user named this file to be run)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(str(path), error) from error
    for older in _of_file(stem, module.__file__)[:-2]:
        del sys.modules[older]  # what is made of it goes on, and takes it along when it goes
    return module


def _of_file(stem: str, path: str) -> list[str]:
    """The names of the modules that were run from a file, in order of time."""
    ours = re.compile(re.escape(stem) + "_[0-9a-f]{12}")
    names = [name for name in list(sys.modules) if name.startswith(stem) and ours.fullmatch(name)]
    return [name for name in names if getattr(sys.modules.get(name), "__file__", None) == path]


def _broken(where: str, error: BaseException) -> InvalidModel:
    return InvalidModel(f"importing it failed with {type(error).__name__}: {error}", where=where)


def _importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _digest(module: ModuleType, value: object, name: str) -> tuple[str, int | None]:
    """Over the named module and the one that defines the value, which a package may only pass on."""
    home = sys.modules.get(getattr(value, "__module__", None) or "", module)
    files = sorted({file for m in (module, home) if (file := getattr(m, "__file__", None)) and Path(file).is_file()})
    if not files:
        return "", None
    content = [Path(file).read_bytes() for file in files]
    digest = hashlib.sha256()
    for part in (name.encode(), *content):
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{digest.hexdigest()}", sum(map(len, content))
