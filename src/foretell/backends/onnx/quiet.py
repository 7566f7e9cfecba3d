"""ONNX Runtime, imported so that it tells nobody.

Since 1.31 it keeps a number of this machine and events in the user's cache folder, and a thread of it sends them to an
analytics service, unless `ORT_DISABLE_TELEMETRY` is set when it is imported. Who has set that decides; what somebody
else imported before is theirs.
"""

from __future__ import annotations

import os

_SWITCH = "ORT_DISABLE_TELEMETRY"

_CHOSEN = _SWITCH in os.environ
if not _CHOSEN:
    os.environ[_SWITCH] = "1"
try:
    import onnxruntime
finally:
    if not _CHOSEN:
        del os.environ[_SWITCH]

__all__ = ["onnxruntime"]
