"""What an OpenVINO IR says about itself, read before the runtime sees it.

An IR is two files: a graph in XML, whose constants are pieces of a file of numbers beside it. Both are untrusted: the
XML may declare no entities, its depth is bounded, and the numbers must be as many as the graph names.
"""

from __future__ import annotations

import xml.parsers.expat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foretell.errors import InvalidModel, UnsafeModel

MAX_DEPTH = 64
_VERSIONS = ("10", "11")
_FLOATS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "f64": "fp64"}
_RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomUniform"})
_STATE = frozenset({"Assign", "ReadValue"})
_QUANTIZED = frozenset({"FakeQuantize"})


@dataclass(slots=True)
class IrFile:
    """`operators`: (operator set, type). `weights_bytes`: where the last constant ends in the file of numbers."""

    version: str = ""
    operators: set[tuple[str, str]] = field(default_factory=set)
    floats: Counter[str] = field(default_factory=Counter)
    weights_bytes: int = 0

    @property
    def precision(self) -> str | None:
        """What most weights are held in; "int8" for a quantized graph; None where there are no float weights."""
        if self._has(_QUANTIZED):
            return "int8"
        return self.floats.most_common(1)[0][0] if self.floats.total() else None

    @property
    def deterministic(self) -> bool:
        return not self._has(_RANDOM)

    @property
    def keeps_state(self) -> bool:
        return self._has(_STATE)

    def _has(self, kinds: frozenset[str]) -> bool:
        return any(kind in kinds for _, kind in self.operators)


def read_ir(path: Path) -> IrFile:
    """Raises `InvalidModel` for a file that is no whole IR, `UnsafeModel` for one that declares entities."""
    where, walk = str(path), _Walk(str(path))
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = walk.start, walk.end
    parser.StartDoctypeDeclHandler = walk.refuse_doctype
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except xml.parsers.expat.ExpatError as error:
        fix = "if it was copied or is being written, do that again"
        raise InvalidModel(f"not an OpenVINO IR, or half of one: {error}", where=where, fix=fix) from error
    except OSError as error:
        raise InvalidModel("the file cannot be read", where=where, got=error.strerror or error) from error
    found = walk.found
    if found.version not in _VERSIONS:
        expected, got = " or ".join(_VERSIONS), repr(found.version)
        raise InvalidModel("its version of the IR is not known", where=where, expected=expected, got=got)
    if found.keeps_state:
        what = "it keeps a state between calls, so that its answers would depend on who asked before"
        raise InvalidModel(what, where=where, fix="convert it again as a stateless model")
    return found


def weights_of(path: Path, found: IrFile) -> Path | None:
    """The file of numbers that the IR at `path` needs, or None. Raises `InvalidModel`, and `UnsafeModel` for a link."""
    beside, where = path.with_suffix(".bin"), str(path)
    try:
        inside = beside.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        if not found.weights_bytes:
            return None
        fix = "copy it beside the .xml: an OpenVINO model is both files"
        raise InvalidModel(f"its weights {beside.name!r} are not there", where=where, fix=fix) from error
    if not inside.is_relative_to(path.parent.resolve()):
        fix = "copy what it points to"
        raise UnsafeModel(f"its weights {beside.name!r} are a link that leaves its folder", where=where, fix=fix)
    if not inside.is_file():
        raise InvalidModel(f"its weights {beside.name!r} are no regular file", where=where)
    size = inside.stat().st_size
    if size != found.weights_bytes:
        fix = "copy both files of one conversion"
        what = f"{beside.name!r} holds other weights than the .xml names"
        expected = f"{found.weights_bytes} bytes"
        raise InvalidModel(what, where=where, expected=expected, got=f"{size} bytes", fix=fix)
    return inside


class _Walk:
    """Collects what matters from the elements, wherever they stand: bodies of loops hold layers, too."""

    def __init__(self, where: str) -> None:
        self.found = IrFile()
        self._where = where
        self._depth = 0
        self._kind = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidModel(f"its elements are nested deeper than {MAX_DEPTH}", where=self._where)
        if self._depth == 1:
            if name != "net":
                expected = "an element <net>"
                raise InvalidModel("not an OpenVINO IR", where=self._where, expected=expected, got=f"<{name[:40]}>")
            self.found.version = attributes.get("version", "")
        elif name == "layer":
            self._kind = attributes.get("type", "")
            self.found.operators.add((attributes.get("version", ""), self._kind))
        elif name == "data" and self._kind == "Const":
            self._constant(attributes)

    def end(self, name: str) -> None:
        self._depth -= 1

    def refuse_doctype(self, name: str, system: str | None, public: str | None, inner: int) -> None:
        raise UnsafeModel("an IR has no document type", where=self._where, got=f"<!DOCTYPE {name[:40]}>")

    def _constant(self, attributes: Mapping[str, str]) -> None:
        start, size = (self._number(attributes.get(key, "")) for key in ("offset", "size"))
        self.found.weights_bytes = max(self.found.weights_bytes, start + size)
        kind = _FLOATS.get(attributes.get("element_type", ""))
        if kind is not None:
            self.found.floats[kind] += size

    def _number(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise InvalidModel("a constant whose place is no number", where=self._where, got=repr(text[:40]))
        return int(text)
