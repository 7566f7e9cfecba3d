"""The machine a job ran on, as its report tells it: nothing that names it."""

from __future__ import annotations

import os
import sys

from foretell import __version__
from foretell.cores import usable_cores
from foretell.processor import processor


def machine() -> dict[str, str | int]:
    """Cores that may be used, system, processor, and the releases that ran."""
    system = os.uname()
    return {
        "cores": usable_cores(),
        "system": f"{system.sysname} {system.release}",
        "processor": processor() or system.machine,
        "python": ".".join(str(number) for number in sys.version_info[:3]),
        "foretell": __version__,
    }
