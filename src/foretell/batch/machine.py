"""The machine a job ran on, as its report tells it: nothing that names it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from foretell import __version__
from foretell.cores import usable_cores

_LOOKED_AT = 4096


def machine() -> dict[str, str | int]:
    """Cores that may be used, system, processor, and the releases that ran."""
    system = os.uname()
    return {
        "cores": usable_cores(),
        "system": f"{system.sysname} {system.release}",
        "processor": _processor() or system.machine,
        "python": ".".join(str(number) for number in sys.version_info[:3]),
        "foretell": __version__,
    }


def _processor() -> str:
    """Its name, where the system has it at hand."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file.read(_LOOKED_AT).splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return ""
