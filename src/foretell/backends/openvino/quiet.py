"""OpenVINO, imported so that it tells nobody.

Its import sends an event to an analytics service, from a forked process, unless the package `openvino_telemetry` cannot
be imported: then it puts a stub in its place, here for the rest of the process. What somebody else imported before is
theirs.
"""

from __future__ import annotations

import sys
from types import ModuleType

_TELEMETRY = "openvino_telemetry"


def _imported() -> ModuleType:
    before = sys.modules.get(_TELEMETRY)
    if before is None:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # how Python is told that there is no such module
    try:
        import openvino
        import openvino.frontend
    finally:
        if before is None:
            del sys.modules[_TELEMETRY]
    return openvino  # type: ignore[no-any-return]


openvino = _imported()
