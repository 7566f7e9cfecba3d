"""Where a certificate was made: answers are the same bits on machines of this kind."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from foretell.cores import usable_cores
from foretell.processor import processor

_NVIDIA = Path("/proc/driver/nvidia")
_LOOKED_AT = 65_536


def machine(variant: Mapping[str, str] | None = None) -> dict[str, str]:
    """`variant`: of the model, whose device is told, too, where that is a GPU."""
    there = {
        "cpu": processor() or platform.processor() or platform.machine(),
        "cores": str(usable_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    return there | ({"gpu": gpus()} if (variant or {}).get("device", "").startswith("cuda") else {})


def gpus(driver: Path = _NVIDIA) -> str:
    """The kinds of NVIDIA's GPUs and their driver, as its module in the kernel tells; "" where none does."""
    kinds = {_told(path).get("Model", "") for path in driver.glob("gpus/*/information")} - {""}
    version = _told(driver / "version").get("NVRM version", "")
    return ", ".join([*sorted(kinds), *([version] if version else [])])


def _told(path: Path) -> dict[str, str]:
    told: dict[str, str] = {}
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        for line in file.read(_LOOKED_AT).splitlines():
            name, _, value = line.partition(":")
            told.setdefault(name.strip(), " ".join(value.split()))
    return told
