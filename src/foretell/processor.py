"""What kind of processor this machine has."""

from __future__ import annotations

from contextlib import suppress

_CPUINFO = "/proc/cpuinfo"
_LOOKED_AT = 8192
"""Characters: the first processor stands there whole. To have them all told takes long on a machine of many."""
_ARM = "0x41"
_DESIGNS = {
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}
"""Those of ARM's own that servers and small boards have, as arch/arm64/include/asm/cputype.h of Linux numbers them."""


def processor(path: str = _CPUINFO) -> str:
    """Its name, on x86 with its family and model, since virtual machines give those of several years one name; on ARM,
    where it has none, its design, maker and release; "" where the system does not tell."""
    told: dict[str, str] = {}
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for line in file.read(_LOOKED_AT).partition("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            told.setdefault(name.strip(), value.strip())
    return _of_x86(told) or _of_arm(told)


def _of_x86(told: dict[str, str]) -> str:
    name, family, model = (told.get(each, "") for each in ("model name", "cpu family", "model"))
    return f"{name}, family {family} model {model}" if name and family and model else name


def _of_arm(told: dict[str, str]) -> str:
    try:
        maker, part = told["CPU implementer"], told["CPU part"]
        release = f"r{int(told['CPU variant'], 16)}p{int(told['CPU revision'])}"
    except (LookupError, ValueError):
        return ""
    design = _DESIGNS.get(part) if maker == _ARM else None
    return f"{design} {release}" if design else f"ARM maker {maker} part {part} {release}"
