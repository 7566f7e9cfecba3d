"""skops, without the frameworks that scikit-learn can use for arrays."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

_OTHERS = tuple(f"sklearn.externals.array_api_compat.{name}" for name in ("torch", "dask", "cupy"))


def import_skops() -> Any:
    """`skops.io`. Raises ImportError.

    It looks through all packages of scikit-learn for estimators, and so would import PyTorch, which takes longer than
    all the rest. Packages without modules stand in the place of those, where nobody looks for estimators anyway.
    """
    hidden = [] if "skops.io" in sys.modules else [name for name in _OTHERS if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = empty = ModuleType(name)
        empty.__path__ = []
    try:
        import skops.io
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
    return skops.io
