"""Where a certificate was made: answers are the same bits on machines of this kind."""

from __future__ import annotations

import platform
from pathlib import Path

from foretell.cores import usable_cores


def machine() -> dict[str, str]:
    return {
        "cpu": _cpu(),
        "cores": str(usable_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
