"""Where a certificate was made: answers are the same bits on machines of this kind."""

from __future__ import annotations

import platform

from foretell.cores import usable_cores
from foretell.processor import processor


def machine() -> dict[str, str]:
    return {
        "cpu": processor() or platform.processor() or platform.machine(),
        "cores": str(usable_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
