"""Which kinds of numbers this machine's processor multiplies by instructions of their own, that the runtimes use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from foretell.errors import Unavailable

_CPUINFO = Path("/proc/cpuinfo")
_INSTRUCTIONS = {
    "bf16": {"avx512_bf16", "amx_bf16"},
    "fp16": {"avx512_fp16", "amx_fp16", "fphp", "asimdhp"},
    "int8": {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"},
}
"""By precision, the flags that Linux tells in /proc/cpuinfo, on x86 and on ARM; one of them is enough.

ARM's own `bf16` is none of them: no runtime here computes in it. OpenVINO takes fp16 instead, whose range is smaller.
"""
_APPLE = frozenset({"fp16", "int8"})
"""Of every processor that macOS runs on, but those of Intel."""


def cpu_precisions() -> frozenset[str]:
    """Of "bf16", "fp16" and "int8" those that this processor has; none where the system does not tell."""
    if sys.platform == "darwin":
        return _APPLE if os.uname().machine == "arm64" else frozenset()
    try:
        return precisions_in(_CPUINFO.read_text("utf-8", "replace"))
    except OSError:
        return frozenset()


def precisions_in(cpuinfo: str) -> frozenset[str]:
    """Those of the first processor that such a text tells of."""
    flags = flags_in(cpuinfo)
    return frozenset(name for name, any_of in _INSTRUCTIONS.items() if any_of & flags)


def flags_in(cpuinfo: str) -> frozenset[str]:
    """What the first processor has."""
    for line in cpuinfo.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(flags.split())
    return frozenset()


def check_cpu(precision: str) -> None:
    """Raises `Unavailable` for a precision without instructions here: it would be slower than fp32."""
    here = cpu_precisions()
    if precision != "fp32" and precision not in here:
        expected = ", ".join(("fp32", *sorted(here)))
        fix = "leave precision unset, or run it where the processor has it"
        raise Unavailable(f"this processor does not compute in {precision}", expected=expected, fix=fix)
