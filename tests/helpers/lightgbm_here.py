"""LightGBM; who imports it from here is skipped where a library of the system that it needs is missing."""

from __future__ import annotations

import pytest

try:
    import lightgbm
except OSError as error:
    pytest.skip(f"LightGBM does not load: {error} (Debian: libgomp1)", allow_module_level=True)

__all__ = ["lightgbm"]
