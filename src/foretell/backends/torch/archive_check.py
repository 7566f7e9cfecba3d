"""What a PyTorch archive would do when it is opened, found out before PyTorch sees it.

`torch.export.load` unpickles what an archive calls pickled, falls back to pickle where a safe reading fails, evaluates
its symbolic expressions, and calls any function of `torch` that a node names. `torch.jit.load` compiles code that may
write files. So whatever is not plain data for known operators is refused, unless the user vouches for the file.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from foretell.errors import InvalidModel, UnsafeModel

MAX_ENTRIES = 100_000
MAX_PROGRAM_BYTES = 512 * 2**20
_BEFORE_ARCHIVES = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first bytes of what torch.save wrote before PyTorch 1.6, and still writes where it is asked to."""
_FIX = "if you trust its author, give --allow-pickle and --sha256 with the digest that the author tells"

_OPERATOR = re.compile(r"torch\.ops\.(?P<domain>\w+)\.(?P<name>\w+)\.\w+")
_HIGHER = re.compile(r"torch\.ops\.higher_order\.\w+")
_SYMBOLIC = re.compile(r"_operator\.\w+|math\.\w+|torch\.sym_\w+")
_FILES = frozenset({"from_file", "save", "load", "fromfile", "tofile"})
_NAME = re.compile(r"[\w.:@$/-]*")
_NAMES = frozenset(
    {"name", "parameter_name", "buffer_name", "tensor_constant_name", "custom_obj_name", "fqn", "graph_name", "as_name"}
)
_TREES = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None})
_OUTPUTS = re.compile(r"transformers\.modeling_outputs\.\w+")
"""Dicts with fields, which hold the tensors that a network of that library answers, and nothing else."""
_EXPRESSION = re.compile(r"[A-Za-z]\w*")
_FUNCTIONS = frozenset(
    {
        "Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Mod", "Abs", "floor", "ceiling",
        "Eq", "Ne", "Gt", "Ge", "Lt", "Le", "Equality", "Unequality", "StrictGreaterThan", "GreaterThan",
        "StrictLessThan", "LessThan", "And", "Or", "Not", "Piecewise", "ExprCondPair", "FloorDiv", "ModularIndexing",
        "Where", "PythonMod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural",
        "FloatPow", "FloatTrueDiv", "IntTrueDiv", "IsNonOverlappingAndDenseIndicator", "TruncToFloat", "TruncToInt",
        "RoundToInt", "RoundDecimal", "ToFloat", "Identity", "OpaqueUnaryFn_sqrt", "OpaqueUnaryFn_log2",
    }
)  # fmt: skip
_PLAIN = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.USub, ast.UAdd, ast.Compare, ast.Lt, ast.LtE, ast.Gt,
    ast.GtE, ast.Eq, ast.NotEq, ast.Tuple,
)  # fmt: skip
_SCRIPT_FILES = re.compile(r"\b(?:torch|aten|ops\.aten)\.(?:save|load|from_file)\b")


def kind_of(path: Path) -> str:
    """ "program", "script" or "pickle". Raises `InvalidModel` for what is no archive of PyTorch, or a part of one."""
    if _head(path) == _BEFORE_ARCHIVES:
        return "pickle"
    with _opened(path) as archive:
        names = _inner(archive)
        if any(name.startswith("models/") for name in names) or "serialized_exported_program.json" in names:
            return "program"
        if "constants.pkl" in names and any(name.startswith("code/") for name in names):
            return "script"
        if "data.pkl" in names:
            return "pickle"
    raise InvalidModel("it holds no PyTorch model", where=str(path), got=", ".join(sorted(names)[:5]) or "no entries")


@dataclass(frozen=True, slots=True)
class Checked:
    """`pickles`: entries that may only be read by a safe unpickler. `operators`: those that the program calls.
    `transformers`: its answers are of classes of that library."""

    pickles: tuple[str, ...]
    operators: tuple[str, ...]
    transformers: bool


def check_program(path: Path) -> Checked:
    """Reads an exported program without PyTorch.

    Raises `UnsafeModel` for what could run code, `InvalidModel` for what is no exported program of a known layout.
    """
    where = str(path)
    with _opened(path) as archive:
        names = _inner(archive)
        if "serialized_exported_program.json" in names:
            raise InvalidModel(
                "an exported program of an old layout", where=where, fix="export it again with PyTorch 2.8 or newer"
            )
        programs = [name for name in names if re.fullmatch(r"models/[^/]+\.json", name)]
        if len(programs) != 1:
            raise InvalidModel("it holds several programs", where=where, expected="one", got=len(programs))
        if native := [name for name in names if name.startswith("data/aotinductor/")]:
            raise UnsafeModel("it brings native code", where=where, got=native[0], fix="save it with torch.export.save")
        for name in names:
            if re.fullmatch(r"data/(weights|constants)/[^/]+_config\.json", name):
                _check_payloads(_json(archive, names[name], where), where)
        program = _json(archive, names[programs[0]], where)
        _check_tree(program, where)
        called = {value for key, value in _walk(program) if key == "target" and _OPERATOR.fullmatch(str(value))}
        trees = [str(value) for key, value in _walk(program) if key == "out_spec"]
        pickles = tuple(names[name] for name in names if name.endswith(".pt"))
        return Checked(pickles, tuple(sorted(called)), any(map(_OUTPUTS.search, trees)))


def check_script(path: Path) -> None:
    """Raises `UnsafeModel` for TorchScript that reads or writes files, `InvalidModel` for half an archive."""
    with _opened(path) as archive:
        for name, full in _inner(archive).items():
            if name.startswith("code/") and name.endswith(".py"):
                text = _bytes(archive, full, str(path)).decode("utf-8", "replace")
                if found := _SCRIPT_FILES.search(text):
                    raise UnsafeModel("its code reads or writes files", where=str(path), got=found[0], fix=_FIX)


def _check_payloads(config: Any, where: str) -> None:
    for name, meta in _mapping(_mapping(config, where).get("config"), where).items():
        path = str(_mapping(meta, where).get("path_name", ""))
        if meta.get("use_pickle") is not False or not path.startswith(("weight_", "tensor_")):
            raise UnsafeModel("it brings a pickle, which can run any code", where=where, got=str(name)[:80], fix=_FIX)


def _check_tree(program: Any, where: str) -> None:
    """Every name, operator, expression and structure in the program is one of those that only compute."""
    for key, value in _walk(program):
        if key == "target" and isinstance(value, str):
            _check_operator(value, where)
        elif key == "expr_str":
            _check_expression(value, where)
        elif key in ("in_spec", "out_spec") and value:
            _check_structure(value, where)
        elif key == "custom_obj_values" and value:
            got = ", ".join(map(str, value))[:80]
            raise UnsafeModel("it brings objects of classes of its own", where=where, got=got, fix=_FIX)
        elif key in _NAMES and isinstance(value, str) and not _NAME.fullmatch(value):
            raise UnsafeModel("a name in it is none", where=where, got=repr(value[:80]), fix=_FIX)


def _check_operator(target: str, where: str) -> None:
    found = _OPERATOR.fullmatch(target)
    if found is not None and not (found["domain"] == "aten" and found["name"] in _FILES):
        return
    if found is None and (_HIGHER.fullmatch(target) or _SYMBOLIC.fullmatch(target)):
        return
    raise UnsafeModel("it calls what is no operator of a model", where=where, got=repr(target[:80]), fix=_FIX)


def _check_expression(text: Any, where: str) -> None:
    """PyTorch evaluates it: only numbers, symbols and the arithmetic of sizes may stand in it."""
    try:
        tree = ast.parse(str(text), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidModel("a size in it is no expression", where=where, got=repr(str(text)[:80])) from error
    for node in ast.walk(tree):
        plain = isinstance(node, _PLAIN)
        if isinstance(node, ast.Call):
            plain = isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
        elif isinstance(node, ast.Name):
            plain = not node.id.startswith("__") and bool(_EXPRESSION.fullmatch(node.id))
        elif isinstance(node, ast.Constant):
            plain = not isinstance(node.value, str) or bool(_EXPRESSION.fullmatch(node.value))
        if not plain:
            raise UnsafeModel("a size in it is more than a number", where=where, got=repr(str(text)[:80]), fix=_FIX)


def _check_structure(text: Any, where: str) -> None:
    try:
        tree = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidModel("the structure of its inputs is no JSON", where=where, got=repr(text)[:80]) from error
    for key, value in _walk(tree):
        if key == "type" and value not in _TREES and not _OUTPUTS.fullmatch(str(value)):
            fix = "export it with tensors, lists, tuples and dicts as inputs and outputs"
            raise UnsafeModel("its inputs or outputs are of a class of its own", where=where, got=repr(value), fix=fix)


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_BEFORE_ARCHIVES))
    except OSError as error:
        raise InvalidModel("the file cannot be read", where=str(path), got=error.strerror or error) from error


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise InvalidModel("the file cannot be read", where=str(path), got=error.strerror or error) from error
    except Exception as error:  # what a stranger wrote fails in every way that unpacking can
        fix = "if it was downloaded or copied, do that again"
        raise InvalidModel(f"not a PyTorch archive, or half of one: {error}", where=str(path), fix=fix) from error


def _inner(archive: zipfile.ZipFile) -> dict[str, str]:
    """The entries by their names below the one folder that all are in. Raises as `check_program`."""
    names, where = archive.namelist(), str(archive.filename)
    if len(names) > MAX_ENTRIES:
        raise UnsafeModel("too many entries", where=where, expected=f"at most {MAX_ENTRIES}", got=len(names))
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
            raise UnsafeModel("an entry points out of the archive", where=where, got=repr(name))
    if len(names) != len(set(names)):
        raise UnsafeModel("an entry is there twice", where=where)
    return {name.partition("/")[2]: name for name in names}


def _json(archive: zipfile.ZipFile, name: str, where: str) -> Any:
    try:
        return json.loads(_bytes(archive, name, where))
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"{name} in it is no JSON: {error}", where=where) from error


def _bytes(archive: zipfile.ZipFile, name: str, where: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_PROGRAM_BYTES:
        raise UnsafeModel(f"{name} in it is too large", where=where, expected=f"at most {MAX_PROGRAM_BYTES} bytes")
    try:
        return archive.read(name)
    except Exception as error:
        raise InvalidModel(f"{name} in it cannot be read: {error}", where=where) from error


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidModel("it is no exported program", where=where, got=type(value).__name__)
    return value
