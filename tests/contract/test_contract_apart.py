"""The suite of every backend once more, for frameworks whose import takes seconds: a file of tests is a process."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_SUITE = Path(__file__).with_name("test_backend_contract.py")
_SPEC = importlib.util.spec_from_file_location("backend_contract_again", _SUITE)
assert _SPEC is not None and _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
globals().update({name: value for name, value in vars(_MODULE).items() if name.startswith("test_")})
