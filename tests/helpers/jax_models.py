"""Functions that jax.export has written. Importing this imports no framework."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from foretell.backends.jax.model import import_jax

WEIGHTS = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5], [0.0, 3.0, 1.0], [-2.0, 0.5, 0.125]], np.float32)


def exported(
    function: Callable[..., Any],
    *args: Any,
    platforms: tuple[str, ...] = ("cpu",),
    where: tuple[str, ...] = (),
    **named: Any,
) -> bytes:
    """The bytes of `function`. Each argument: a tuple of its dims and type, where "b" is a free size, or a dict or list
    of such. `where`: constraints of free sizes."""
    jax = import_jax()
    export = importlib.import_module("jax.export")
    sizes: dict[str, Any] = {}
    scope = export.SymbolicScope(where)

    def size(dim: Any) -> Any:
        if isinstance(dim, str) and dim not in sizes:
            (sizes[dim],) = export.symbolic_shape(dim, scope=scope)
        return sizes.get(dim, dim)

    def shaped(told: Any) -> Any:
        if isinstance(told, dict):
            return {name: shaped(each) for name, each in told.items()}
        if isinstance(told, list):
            return [shaped(each) for each in told]
        dims, kind = told
        return jax.ShapeDtypeStruct([size(dim) for dim in dims], kind)

    with jax.enable_x64(True):
        made = export.export(jax.jit(function), platforms=platforms)(
            *[shaped(each) for each in args], **{name: shaped(each) for name, each in named.items()}
        )
    return bytes(made.serialize())


@cache
def linear(*dims: Any) -> bytes:
    """Numbers times `WEIGHTS`; `dims` of the rows and their values."""
    return exported(lambda x: {"scores": x @ WEIGHTS}, (dims or ("b", 4), np.float32))


def file_of(data: bytes, folder: Path) -> Path:
    (folder / "f.jax").write_bytes(data)
    return folder / "f.jax"
